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
/// Another connection took over this ID, since this one no longer showed life.
pub const REPLACED: u16 = 4000;
/// The client did not read what was sent to it, or not as fast as there was room for.
pub const TOO_SLOW: u16 = 4001;
