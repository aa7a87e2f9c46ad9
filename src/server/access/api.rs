//! What the page asks by HTTP: who am I, let me in, and, for owners, who is invited. JSON both ways; docs/access.md has
//! examples. Whatever changes something takes a page of ours (`Origin`) and a body that no form of another site can send.

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::agent::label;
use super::household::{Household, Now, Silent};
use super::{Access, Shown, Visit, Way};
use crate::base::qr::Drawing;
use crate::logic::access::{Grants, Pass, Rights, Role};
use crate::logic::hub::Origin;
use crate::protocol::{Key, UserId};
use crate::server::listen::Peer;
use crate::server::socket::Doors;
use crate::store::{Invite, MemoryError, PersonRecord, Redemption, Secret, Timestamp};

/// Bytes of a request's body.
const MAX_BODY: usize = 16 * 1024;
/// How long an invitation without an end can be used: it may lie about in a chat for ever.
pub const INVITATION_LIFE: Duration = Duration::from_secs(14 * 24 * 3600);

pub fn router() -> Router<Doors> {
    Router::new()
        .route("/api/me", get(me))
        .route("/api/redeem", post(redeem))
        .route("/api/key", post(renew_key))
        .route("/api/leave", post(leave))
        .route("/api/people", get(people))
        .route("/api/invite", post(invite))
        .route("/api/revoke", post(revoke))
        .route("/api/rename", post(rename))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::map_response(for_nobody_else))
}

/// What is somebody's own is kept in no cache.
async fn for_nobody_else(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why a request is refused: a stable code, and words for a person.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    more: Value,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), more: Value::Null }
    }

    fn uninvited() -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", "you need an invitation")
    }

    fn not_here() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "open", "everybody may come in here: there are no invitations")
    }

    fn not_an_owner() -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, "forbidden", "only an owner may do that")
    }
}

impl From<Silent> for Refusal {
    fn from(silent: Silent) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", silent.to_string())
    }
}

impl From<MemoryError> for Refusal {
    fn from(error: MemoryError) -> Refusal {
        match error {
            MemoryError::Failed(_) => Silent::because(error).into(),
            error => Refusal::new(StatusCode::CONFLICT, "refused", error.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(error), Value::Object(more)) = (error.as_object_mut(), self.more) {
            error.extend(more);
        }
        let retry = (self.status == StatusCode::TOO_MANY_REQUESTS).then_some([(header::RETRY_AFTER, "10")]);
        (self.status, retry, Json(json!({ "error": error }))).into_response()
    }
}

/// A request that has been looked at: from whom it comes, and that it may change something where it wants to.
struct Caller<'a> {
    doors: &'a Doors,
    household: &'a Household,
    headers: HeaderMap,
    way: Way,
    origin: Origin,
}

impl<'a> Caller<'a> {
    fn of(doors: &'a Doors, request: &Request) -> Result<Caller<'a>, Refusal> {
        let headers = request.headers().clone();
        let origin = headers.get(header::ORIGIN);
        let changes = request.method() != Method::GET;
        if let Err(refused) = doors.hosts.admit(&headers, origin) {
            return Err(Refusal::new(refused.status(), refused.name(), refused.message()));
        }
        let json = |value: &HeaderValue| value.as_bytes().to_ascii_lowercase().starts_with(b"application/json");
        if changes && !headers.get(header::CONTENT_TYPE).is_some_and(json) {
            let message = "send JSON, with Content-Type: application/json";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "badRequest", message));
        }
        let Access::Invited(household) = &doors.access else { return Err(Refusal::not_here()) };
        let peer = request.extensions().get::<Peer>().copied();
        Ok(Caller { doors, household, way: doors.way(&headers, peer), origin: doors.origin(&headers, peer), headers })
    }

    async fn visit(&self) -> Result<Visit, Refusal> {
        match self.doors.access.shown(self.way, &self.headers, self.origin).await {
            Shown::Session(visit) => Ok(visit),
            Shown::Nothing | Shown::Wrong { slow: false } => Err(Refusal::uninvited()),
            Shown::Wrong { slow: true } => Err(too_many()),
            Shown::Unknown => Err(Silent.into()),
        }
    }

    async fn owner(&self) -> Result<Visit, Refusal> {
        let visit = self.visit().await?;
        match &visit.pass {
            Pass::Person(person) if person.role == Role::Owner => Ok(visit),
            Pass::Person(_) | Pass::Nobody | Pass::Anybody | Pass::Device(_) => Err(Refusal::not_an_owner()),
        }
    }

    /// With the browser's cookie made to last.
    fn renewed(&self, body: Value, secret: Option<&str>) -> Response {
        let cookie = secret.and_then(|secret| self.way.write(secret));
        (cookie.map(|cookie| [(header::SET_COOKIE, cookie)]), Json(body)).into_response()
    }
}

fn too_many() -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "tooManyAttempts", "too many wrong tries; wait a little")
}

async fn read<T: for<'de> Deserialize<'de>>(request: Request) -> Result<T, Refusal> {
    let bad = |why: String| Refusal::new(StatusCode::BAD_REQUEST, "badRequest", why);
    let body: Bytes = axum::RequestExt::extract(request).await.map_err(|_| bad(format!("at most {MAX_BODY} bytes")))?;
    serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))
}

async fn me(State(doors): State<Doors>, request: Request) -> Result<Response, Refusal> {
    if matches!(doors.access, Access::Open) {
        return Ok(Json(json!({ "mode": "open" })).into_response());
    }
    let caller = Caller::of(&doors, &request)?;
    let visit = caller.visit().await?;
    let body = json!({ "mode": "invited", "you": describe(&visit) });
    Ok(caller.renewed(body, caller.way.read(&caller.headers)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redeem {
    secret: String,
    /// The browser's own.
    key: Option<Key>,
}

async fn redeem(State(doors): State<Doors>, request: Request) -> Result<Response, Refusal> {
    let caller = Caller::of(&doors, &request)?;
    let Redeem { secret, key } = read(request).await?;
    let key = key.map(of_a_browser).transpose()?;
    match caller.household.redeem(&secret, label(&caller.headers), key).await? {
        Ok(session) => {
            let session = session.text();
            let Some(visit) = caller.household.visit(&session).await? else { return Err(Silent.into()) };
            Ok(caller.renewed(json!({ "mode": "invited", "you": describe(&visit) }), Some(&session)))
        }
        Err(redemption) => {
            if let Some(wait) = caller.household.failed(caller.origin) {
                tokio::time::sleep(wait).await;
                return Err(too_many());
            }
            Err(refused(redemption))
        }
    }
}

fn of_a_browser(key: Key) -> Result<[u8; 65], Refusal> {
    match key {
        Key::P256(key) => Ok(key),
        Key::Ed25519(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "badRequest", "a browser has a key of P-256")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renewal {
    key: Key,
}

/// Browsers lose what pages keep in them, and keep the cookie.
async fn renew_key(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Refusal> {
    let caller = Caller::of(&doors, &request)?;
    let visit = caller.visit().await?;
    let Renewal { key } = read(request).await?;
    let renewed = caller.household.renew_key(&visit.session, of_a_browser(key)?).await?;
    Ok(Json(json!({ "mode": "invited", "you": describe(&renewed.ok_or_else(too_many)?) })))
}

fn refused(why: Redemption) -> Refusal {
    let message = why.to_string();
    let (code, more) = match why {
        Redemption::Unknown => ("invitationUnknown", Value::Null),
        Redemption::NotYet(from) => ("invitationNotYet", json!({ "from": from })),
        Redemption::Expired => ("invitationExpired", Value::Null),
        Redemption::UsedUp => ("invitationUsedUp", Value::Null),
        Redemption::Failed(_) => return Silent.into(),
    };
    Refusal { more, ..Refusal::new(StatusCode::FORBIDDEN, code, message) }
}

/// This browser goes, and its session ends.
async fn leave(State(doors): State<Doors>, request: Request) -> Result<Response, Refusal> {
    let caller = Caller::of(&doors, &request)?;
    let visit = caller.visit().await?;
    caller.household.ask(move |memory| memory.revoke(&visit.session, true)).await??;
    let cookie = caller.way.clear().map(|cookie| [(header::SET_COOKIE, cookie)]);
    Ok((cookie, Json(json!({}))).into_response())
}

async fn people(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Refusal> {
    let caller = Caller::of(&doors, &request)?;
    let owner = caller.owner().await?;
    let (people, devices) =
        caller.household.ask(|memory| Ok::<_, MemoryError>((memory.people()?, memory.devices()?))).await??;
    let present = caller.household.visits.sessions();
    let people: Vec<_> = people.iter().map(|person| list(person, &owner.session, &present)).collect();
    let devices: Vec<_> = devices
        .iter()
        .map(|device| {
            // Somebody else's device that wants to be this one concerns whoever owns it.
            let refused = caller.household.strangers.seen(&device.device);
            let refused = refused.map(|(last, count)| json!({ "last": last, "count": count }));
            json!({ "userId": device.device, "since": device.claimed, "refused": refused })
        })
        .collect();
    Ok(Json(json!({ "people": people, "devices": devices })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Invitation {
    name: String,
    role: Option<Role>,
    rights: Option<Rights>,
    devices: Option<Vec<UserId>>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    #[serde(default = "once")]
    uses: u32,
    /// The page's own address, to which the invitation leads.
    base: String,
}

fn once() -> u32 {
    1
}

async fn invite(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Refusal> {
    let caller = Caller::of(&doors, &request)?;
    caller.owner().await?;
    let wanted: Invitation = read(request).await?;
    let page = caller.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    let leads_here = wanted.base.strip_prefix(page).is_some_and(|path| path.starts_with('/') && !path.contains('#'));
    if page.is_empty() || !leads_here {
        let message = "base must be the address of the page that asks";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "badRequest", message));
    }
    let secret = Secret::random().map_err(Silent::because)?;
    let (now, hash, base) = (Now::read().time, secret.hash(), wanted.base.clone());
    let invite = wanted.into_invite(now);
    let name = invite.name.clone();
    let invited = caller.household.ask(move |memory| memory.invite(&invite, hash, now)).await??;
    let link = link(&base, &secret, Some(&caller.household.key()));
    let qr = Drawing::new(&link).map(|code| json!({ "width": code.width(), "path": code.svg_path() }));
    log::info!(invitation = invited.invitation.as_str(); "an owner invites somebody");
    Ok(Json(json!({ "name": name, "invitation": invited.invitation, "isNew": invited.new, "link": link, "qr": qr })))
}

/// Reads what a body may be, as the fuzz targets do.
#[cfg(fuzzing)]
pub fn bodies(body: &[u8]) {
    _ = serde_json::from_slice::<Redeem>(body);
    _ = serde_json::from_slice::<Renewal>(body);
    _ = serde_json::from_slice::<Revoke>(body);
    _ = serde_json::from_slice::<Rename>(body);
    if let Ok(invitation) = serde_json::from_slice::<Invitation>(body) {
        let owner = invitation.role == Some(Role::Owner);
        assert_eq!(invitation.into_invite(Timestamp(0)).role == Some(Role::Owner), owner);
    }
}

impl Invitation {
    fn into_invite(self, now: Timestamp) -> Invite {
        let usual = self.role.unwrap_or(Role::Member).usual_rights();
        let grants = match (self.devices, self.rights) {
            (Some(devices), rights) => Some(Grants::only_at(devices, rights.unwrap_or(usual))),
            (None, Some(rights)) => Some(Grants::everywhere(rights)),
            (None, None) => self.role.map(|role| Grants::everywhere(role.usual_rights())),
        };
        Invite {
            name: self.name,
            role: self.role,
            grants,
            from: self.from,
            until: self.until,
            uses: self.uses,
            expires: self.until.or(Some(now.plus(INVITATION_LIFE))),
        }
    }
}

/// The address that lets somebody in. What stands behind `#` never leaves the browser.
/// `household`: `None` where its key is not made yet, so that whoever opens the link cannot check calls by it.
pub fn link(base: &str, secret: &Secret, household: Option<&Key>) -> String {
    let site = household.map_or(String::new(), |key| format!("&site={}", key.bare()));
    format!("{base}#invite={}{site}", secret.text())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    which: String,
}

async fn revoke(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Refusal> {
    let caller = Caller::of(&doors, &request)?;
    caller.owner().await?;
    let Revoke { which } = read(request).await?;
    caller.household.ask(move |memory| memory.revoke(&which, false)).await??;
    log::info!("an owner takes access back");
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    from: String,
    to: String,
}

async fn rename(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Refusal> {
    let caller = Caller::of(&doors, &request)?;
    caller.owner().await?;
    let Rename { from, to } = read(request).await?;
    caller.household.ask(move |memory| memory.rename(&from, &to)).await??;
    Ok(Json(json!({})))
}

/// What the page shows of its own person.
fn describe(visit: &Visit) -> Value {
    match &visit.pass {
        Pass::Person(person) => json!({
            "userId": person.user_id, "name": person.name, "role": person.role, "rights": person.grants,
            "session": visit.session, "until": visit.until, "key": visit.key, "vouch": person.vouch,
        }),
        Pass::Nobody | Pass::Anybody | Pass::Device(_) => Value::Null,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    name: &'a str,
    role: Role,
    rights: &'a Grants,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    program: bool,
    sessions: Vec<Value>,
    invitations: Vec<Value>,
}

fn list(person: &PersonRecord, own: &str, present: &[String]) -> Value {
    let sessions = person.sessions.iter().map(|session| {
        json!({
            "id": session.id, "userId": session.user_id, "label": session.label, "created": session.created,
            "lastSeen": session.last_seen, "online": present.contains(&session.id), "own": session.id == own,
        })
    });
    let invitations = person.invitations.iter().map(|invitation| {
        json!({
            "id": invitation.id, "usesLeft": invitation.uses_left, "created": invitation.created,
            "expires": invitation.expires,
        })
    });
    let listed = Listed {
        name: &person.name,
        role: person.role,
        rights: &person.grants,
        from: person.from,
        until: person.until,
        program: person.program,
        sessions: sessions.collect(),
        invitations: invitations.collect(),
    };
    serde_json::to_value(listed).unwrap_or_default()
}
