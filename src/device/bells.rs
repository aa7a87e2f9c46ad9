//! The configuration's buttons as the ring machine takes them.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Button, Config, Visits};
use crate::logic::ring::{Plan, Step};

/// At least one: a device has a bell, whether somebody has written it down or not.
pub fn plans(config: &Config) -> Vec<Arc<Plan>> {
    let visits = &config.visits;
    if visits.buttons.is_empty() {
        return vec![with_later(visits, Plan::everyone(&config.device.name, visits.ring_time))];
    }
    let plan = |Button { name, rings }: &Button| Plan {
        bell: name.clone(),
        steps: vec![step(visits, Duration::ZERO, rings)],
        give_up: visits.ring_time,
    };
    visits.buttons.iter().map(|button| with_later(visits, plan(button))).collect()
}

/// With those who are rung later.
fn with_later(visits: &Visits, mut plan: Plan) -> Arc<Plan> {
    let later = visits.steps.iter().filter(|rings| rings.is_of(&plan.bell));
    plan.steps.extend(later.map(|rings| step(visits, rings.after, &rings.people)));
    plan.steps.sort_by_key(|step| step.after);
    Arc::new(plan)
}

fn step(visits: &Visits, after: Duration, names: &[String]) -> Step {
    Step { after, rings: visits.people(names).map(str::to_owned).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_groups_and_times_become_plans() {
        let config = Config::from_toml("device.name = 'Door'").unwrap();
        let [plan] = plans(&config).try_into().unwrap();
        assert_eq!(*plan, Plan::everyone("Door", Duration::from_secs(60)));

        let config = Config::from_toml(
            "[[button]]\nname = 'Front'\nrings = ['Kitchen', 'Ben']\n[[button]]\nname = 'Back'\n\
             [[group]]\nname = 'kitchen'\npeople = ['Anna', 'tablet']\n\
             [[rings]]\nafter_seconds = 20\npeople = 'everyone'\nbuttons = 'front'\n[visits]\nring_seconds = 30",
        )
        .unwrap();
        let [front, back] = plans(&config).try_into().unwrap();
        let step = |after, rings: &[&str]| Step {
            after: Duration::from_secs(after),
            rings: rings.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(front.steps, [step(0, &["Anna", "tablet", "Ben"]), step(20, &["everyone"])]);
        assert_eq!((back.bell.as_str(), back.steps.as_slice()), ("Back", [step(0, &["everyone"])].as_slice()));
        assert_eq!(back.give_up, Duration::from_secs(30));
    }
}
