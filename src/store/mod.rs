//! The server's memory: who belongs to the household, which browsers, programs and devices are theirs, and which links are
//! still open. [`Memory`] says what is remembered, [`sqlite`] keeps it in one file, [`keeper`] brings it to the tasks.
//!
//! Secrets never get here: whoever makes one remembers its [`struct@Hash`] and forgets the rest, so the file lets nobody in.

pub mod error;
pub mod keeper;
pub mod memory;
mod name;
pub mod secret;
pub mod sqlite;
mod time;

pub use error::{MemoryError, PairingRefused, Redemption};
pub use keeper::{Gone, Keeper};
pub use memory::{
    Claim, DeviceRecord, InvitationRecord, Invite, Invited, Login, Memory, PersonId, PersonRecord, Redeemed, Revoked,
    SessionRecord,
};
pub use name::InvalidName;
pub use secret::{Hash, Secret};
pub use sqlite::{Opened, Sqlite, StoreError};
pub use time::Timestamp;
