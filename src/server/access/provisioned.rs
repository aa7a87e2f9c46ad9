//! The owner who made the code that set this board up: the board has left what is to be remembered of their link's secret.
//! It counts where nobody is the owner yet, and takes the place of the link that the first start had made.

use data_encoding::HEXLOWER_PERMISSIVE;

use super::household::{Household, Silent, first_owner};
use crate::base::durable;
use crate::base::text;
use crate::config::FIRST_OWNER;
use crate::server::access::household::Now;
use crate::store::{Hash, MemoryError};

/// Bytes of the file.
const MAX_BYTES: u64 = 256;

impl Household {
    /// Lets in whom a code has named, once. Returns whether there is such an owner now.
    pub(super) async fn is_owned_by_code(&self) -> Result<bool, Silent> {
        let file = self.first.beside(FIRST_OWNER);
        let Ok(text) = text::read(&file, MAX_BYTES) else { return Ok(false) };
        let Some(hash) = hash(text.trim()) else {
            log::warn!(file:% = file.display(); "a setup code has left no owner that can be understood");
            return Ok(false);
        };
        let (now, unused) = (Now::read().time, self.first.is_open());
        let made = self.ask(move |memory| {
            let people = memory.people()?;
            let waiting = unused && matches!(people.as_slice(), [only] if only.sessions.is_empty());
            if !(waiting || memory.is_empty()?) {
                return Ok(false);
            }
            // The link of the first start: nobody shall be let in by both.
            for person in people {
                memory.revoke(&person.name, true)?;
            }
            memory.invite(&first_owner(), hash, now).map(|_| true)
        });
        let made = made.await?.map_err(|error: MemoryError| Silent::because(error))?;
        match made {
            true => {
                self.first.is_used();
                log::info!("whoever made the setup code is the owner once they open their link");
            }
            false => log::warn!("a setup code names an owner, but there is one: it is left out"),
        }
        if let Err(error) = durable::remove(&file) {
            log::warn!(file:% = file.display(), error:%; "what a setup code has left cannot be removed");
        }
        Ok(made)
    }
}

fn hash(digits: &str) -> Option<Hash> {
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok().map(Hash)
}
