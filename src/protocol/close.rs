//! WebSocket close codes (RFC 6455, section 7.4; 4000 and up are ours).

/// The server is shutting down: reconnect with backoff.
pub const GOING_AWAY: u16 = 1001;
/// The frames break RFC 6455.
pub const PROTOCOL: u16 = 1002;
/// Only text frames are understood.
pub const UNSUPPORTED: u16 = 1003;
/// The text was not UTF-8.
pub const INVALID: u16 = 1007;
/// The client went on after `rateLimited`, or sent too many malformed messages.
pub const POLICY: u16 = 1008;
/// The message was longer than [`super::MAX_MESSAGE_BYTES`].
pub const TOO_BIG: u16 = 1009;
/// The server is full, or has no memory left for what this client has begun to say: try again later.
pub const TRY_LATER: u16 = 1013;
/// Another connection took over this ID: this one no longer showed life, or the other one is the same somebody's.
pub const REPLACED: u16 = 4000;
/// The client did not read what was sent to it, or not as fast as there was room for.
pub const TOO_SLOW: u16 = 4001;
/// The client wanted to join [`super::MAX_UNAUTHORIZED`] times without what lets it in: do not try again like that.
pub const UNAUTHORIZED: u16 = 4401;
/// What let the client in counts no more: do not come back with it.
pub const ACCESS_ENDED: u16 = 4403;
/// What the client may do has changed: connect again at once.
pub const RIGHTS_CHANGED: u16 = 4409;
