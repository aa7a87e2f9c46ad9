//! Where a daemon that the system started keeps its things. An ordinary user's has them elsewhere; with nothing of one's own
//! the system's are meant.

use std::path::{Path, PathBuf};

use callbox::config::{Loaded, Origin};

const STATE: &str = "/var/lib/callbox";
const SOCKET: &str = "/run/callbox/callbox.sock";

/// The state directory.
pub fn state_dir(loaded: &Loaded) -> &Path {
    let own = loaded.config.state.dir.as_path();
    let system = Path::new(STATE);
    match loaded.origin("state.dir") == Origin::Default && !own.exists() && system.exists() {
        true => system,
        false => own,
    }
}

/// The control socket.
pub fn socket(loaded: &Loaded) -> PathBuf {
    let own = &loaded.config.control.socket;
    let system = Path::new(SOCKET);
    match loaded.origin("control.socket") == Origin::Default && !own.exists() && system.exists() {
        true => system.to_owned(),
        false => own.clone(),
    }
}
