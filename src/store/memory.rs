//! What the server remembers, and what it can be asked. The methods wait for the disk and for other processes, so tasks ask
//! through a [`super::Keeper`].

use std::path::Path;
use std::time::Duration;

use super::{Hash, MemoryError, PairingRefused, Redemption, Timestamp};
use crate::logic::access::{Grants, Role};
use crate::protocol::UserId;

/// A browser that was not seen for so long has to be invited again. Programs may be silent as long as they like.
pub const SESSION_IDLE: Duration = Duration::from_secs(180 * 24 * 60 * 60);
/// How old `last_seen` may be: it is written no more often, which spares a memory card.
pub const SEEN_STEP: Duration = Duration::from_secs(60 * 60);
/// Sessions of one person. One more, and the one that was seen longest ago goes.
pub const MAX_SESSIONS: u32 = 32;

/// How long an invitation that is used up or too old is kept, so that whoever follows it is told why it does not work.
pub const INVITATION_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The household. What changes it is on the disk when the method returns, or has not happened.
pub trait Memory: Send {
    /// Whether nobody was ever invited, so that whoever comes first may be the owner. Never so where an earlier memory was
    /// lost: whoever can damage a file must not get the house by it.
    fn is_empty(&self) -> Result<bool, MemoryError>;

    /// Whether this memory was begun because the one before it was damaged.
    fn was_set_aside(&self) -> Result<bool, MemoryError>;

    /// A number that is another one after every change, whichever process made it. When somebody was seen is no change.
    /// The last known one where it cannot be read.
    fn version(&mut self) -> i64;

    /// Remembers a link for a person, and the person where it is a new one.
    fn invite(&mut self, invite: &Invite, secret: Hash, now: Timestamp) -> Result<Invited, MemoryError>;

    /// Makes a session of an invitation, once for each of its uses.
    fn redeem(
        &mut self,
        secret: Hash,
        label: &str,
        session: Hash,
        key: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Redeemed, Redemption>;

    /// Who has this session, where it counts; notes that it was seen. One that was not seen for [`SESSION_IDLE`] is
    /// forgotten.
    fn session(&mut self, secret: Hash, now: Timestamp) -> Result<Option<Login>, MemoryError>;

    /// The same by the session's public ID, and without noting anything: for those who are connected.
    fn look(&self, session: &str, now: Timestamp) -> Result<Option<Login>, MemoryError>;

    /// Notes that a session is in use, so that one that stays connected for months does not count as idle.
    fn seen(&mut self, session: &str, now: Timestamp) -> Result<(), MemoryError>;

    /// The session's key is this from now on. False where there is no such session.
    fn set_key(&mut self, session: &str, key: &[u8]) -> Result<bool, MemoryError>;

    /// A program that belongs to the household, under a name of its own. It is a guest: what it may do, `grants` says.
    fn add_token(
        &mut self,
        name: &str,
        grants: &Grants,
        until: Option<Timestamp>,
        secret: Hash,
        now: Timestamp,
    ) -> Result<Redeemed, MemoryError>;

    /// Everybody, in the order in which they came.
    fn people(&self) -> Result<Vec<PersonRecord>, MemoryError>;

    fn person(&self, name: &str) -> Result<Option<PersonRecord>, MemoryError>;

    /// Takes back what `which` names: a person with all that is theirs, or one session or invitation by its ID. A
    /// program's only session is the program.
    fn revoke(&mut self, which: &str, force: bool) -> Result<Revoked, MemoryError>;

    /// Sessions keep the IDs they have.
    fn rename(&mut self, old: &str, new: &str) -> Result<(), MemoryError>;

    /// Revokes a person and removes the name from the file and what SQLite keeps beside it. Backups, and damaged files that
    /// were set aside, are copies of their own.
    fn erase(&mut self, name: &str, force: bool) -> Result<PersonRecord, MemoryError>;

    /// A device shows its key under an ID. The ID belongs to the key that came first.
    fn claim(&mut self, device: &UserId, key: &[u8; 32], now: Timestamp) -> Result<Claim, MemoryError>;

    fn device_key(&self, device: &UserId) -> Result<Option<[u8; 32]>, MemoryError>;

    fn devices(&self) -> Result<Vec<DeviceRecord>, MemoryError>;

    /// Frees the ID for another key, and takes an open pairing back. Returns whether there was anything to forget.
    fn forget_device(&mut self, device: &UserId) -> Result<bool, MemoryError>;

    /// Remembers a secret that lets a key have this ID, once. A device has one such secret: the newest.
    fn add_pairing(&mut self, device: &UserId, secret: Hash, until: Timestamp) -> Result<(), MemoryError>;

    /// [`Memory::claim`] with such a secret.
    fn pair(&mut self, secret: Hash, device: &UserId, key: &[u8; 32], now: Timestamp) -> Result<(), PairingRefused>;

    /// The seed of the household's own key. The first one that is ever handed in is the household's for ever.
    fn household_seed(&mut self, fresh: &[u8; 32]) -> Result<[u8; 32], MemoryError>;

    /// Writes all of it to a new file with mode 0600. Others may go on writing.
    fn backup(&self, path: &Path) -> Result<(), MemoryError>;
}

/// One of the household. The number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(pub i64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRecord {
    pub id: PersonId,
    /// 1 to 64 bytes; no two differ in case only.
    pub name: String,
    pub role: Role,
    pub grants: Grants,
    /// The first second at which this person counts.
    pub from: Option<Timestamp>,
    /// The first second at which this person counts no longer.
    pub until: Option<Timestamp>,
    /// A program with a token, and no invitations.
    pub program: bool,
    pub created: Timestamp,
    pub sessions: Vec<SessionRecord>,
    pub invitations: Vec<InvitationRecord>,
}

impl PersonRecord {
    pub fn counts_at(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }
}

/// A browser or program in which somebody is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Public: eight of a-z and 2-7.
    pub id: String,
    pub person: PersonId,
    /// Nobody had it before, and nobody will have it after.
    pub user_id: UserId,
    /// Such as "Firefox on Android"; one line of 64 bytes at most.
    pub label: String,
    pub created: Timestamp,
    /// At most [`SEEN_STEP`] older than the truth.
    pub last_seen: Timestamp,
    pub key: Option<Vec<u8>>,
}

/// A link that was given to somebody. Those that are used up or too old stay for [`INVITATION_KEPT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationRecord {
    /// Public: of the same form as a session's.
    pub id: String,
    pub person: PersonId,
    pub uses_left: u32,
    pub created: Timestamp,
    /// The first second at which it counts no longer.
    pub expires: Option<Timestamp>,
}

/// Whom to invite, and as what. For somebody known, what is given replaces what was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    pub name: String,
    /// A member where it is not said.
    pub role: Option<Role>,
    /// The role's usual ones where they are not said. Who had the usual ones has those of a new role, too.
    pub grants: Option<Grants>,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// How many browsers may follow the link; at least one.
    pub uses: u32,
    pub expires: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invited {
    pub person: PersonId,
    /// Somebody known, who is something else now.
    pub changed: bool,
    pub new: bool,
    /// The invitation's ID.
    pub invitation: String,
}

/// A session that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeemed {
    pub person: PersonId,
    /// The session's ID.
    pub session: String,
    pub user_id: UserId,
}

/// Who somebody is that showed a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub session: SessionRecord,
    /// Without sessions and invitations.
    pub person: PersonRecord,
}

/// What was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    Person(PersonRecord),
    Session { person: String, session: SessionRecord },
    Invitation { person: String, invitation: InvitationRecord },
}

/// What comes of a device's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody had the ID before.
    New,
    Known,
    /// The ID belongs to another key, or to somebody's browser.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    pub device: UserId,
    pub key: [u8; 32],
    pub claimed: Timestamp,
}
