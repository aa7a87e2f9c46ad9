//! Every limit of the wire, for both ends.

use std::time::Duration;

/// Version of what Callbox adds to the five basic messages; `joined` carries it.
pub const VERSION: u32 = 1;

/// The header of the answer that opens a WebSocket, with what a device may sign there.
pub const CHALLENGE: &str = "callbox-challenge";

/// Longest text frame in bytes, both ways. Longer ones close the connection with [`super::close::TOO_BIG`].
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Longest user ID in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 64;
/// Longest display name in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 128;
/// Longest call ID in bytes.
pub const MAX_CALL_ID_BYTES: usize = 64;
/// Longest ID of a visit in bytes.
pub const MAX_VISIT_ID_BYTES: usize = 32;
/// Names in `rings` and in `declined` of a visit.
pub const MAX_RUNG: usize = 64;
/// Longest `token` of a `join` in bytes.
pub const MAX_TOKEN_BYTES: usize = 512;
/// Longest `nonce` of a `ping` in bytes.
pub const MAX_NONCE_BYTES: usize = 64;
/// Most candidates a peer may send for one call; further ones are ignored.
pub const MAX_CANDIDATES: usize = 50;
/// Longest candidate in bytes: its line, `sdpMid` and `usernameFragment` together.
pub const MAX_CANDIDATE_BYTES: usize = 1024;
/// Messages a client may send in a burst before it is slowed down; beyond it each answers `rateLimited`.
pub const MESSAGE_BURST: u32 = 200;
/// Messages a second a client may send on average.
pub const MESSAGE_RATE: u32 = 50;
/// Messages a client may go on to send in spite of `rateLimited` before [`super::close::POLICY`].
pub const MAX_RATE_LIMITED: u32 = 3 * MESSAGE_BURST;
/// `join` messages of one connection in a burst; each is told to everybody, or brings a long list. Beyond them, and
/// before the next [`JOIN_PAUSE`] has passed, `rateLimited`.
pub const JOIN_BURST: u32 = 10;
/// How long until a connection may join once more.
pub const JOIN_PAUSE: Duration = Duration::from_secs(5);
/// Words of a device's on its visits in a burst, each of which is told to everybody whom it rings. Beyond them, and before the
/// next [`VISIT_PAUSE`] has passed, `rateLimited`: the device repeats them anyway.
pub const VISIT_BURST: u32 = 30;
/// How long until a device may say one more.
pub const VISIT_PAUSE: Duration = Duration::from_millis(125);
/// Calls that one person may begin at a stretch, from all their browsers together; an offer beyond them is answered
/// `rateLimited`. Devices are not counted: they ring when somebody is at the door.
pub const CALL_BURST: u32 = 10;
/// How long until a person may begin one call more.
pub const CALL_PAUSE: Duration = Duration::from_secs(6);
/// Offers that go on with a call and cost together as much as a call.
pub const OFFERS_OF_A_CALL: u32 = 10;
/// Connections that one browser, program or device may have at a time; for a further one the oldest that has not joined
/// is closed with [`super::close::POLICY`].
pub const MAX_CONNECTIONS_EACH: usize = 4;
/// A connection that has not joined after this long is closed with [`super::close::POLICY`].
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
/// `join` messages of one connection that are refused as `unauthorized`; the last of them closes it with
/// [`super::close::UNAUTHORIZED`].
pub const MAX_UNAUTHORIZED: u32 = 3;
/// Members of a site up to which clients that take no lists are told of each other; beyond, they call by ID.
pub const MAX_SINGLE_PRESENCE: usize = 100;
/// The pause between two `peers`, or rounds of `presence`: what changes meanwhile is told together.
pub const PEERS_PAUSE: Duration = Duration::from_millis(50);
/// Malformed messages (`badMessage`, `badField`) a connection may send before [`super::close::POLICY`].
pub const MAX_MALFORMED: u32 = 50;
/// The server pings a silent connection after this long and cuts it when the same time passes again without a sign.
pub const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long an unanswered call rings.
pub const RING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the media connection may take to come up after the answer.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the holder of an ID has to show life when another client claims the ID.
pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);
