//! What we show a server that wants to know who we are.

use std::sync::Arc;

use crate::logic::identity::SigningKey;
use crate::protocol::{Challenge, Credential, Message, Token};

pub(super) struct Proving {
    pub signer: Arc<SigningKey>,
    pub pairing: Option<Token>,
    /// The name by which we call the server.
    pub host: String,
}

impl Proving {
    /// The same `join` with our signature.
    pub fn join(&self, join: &Message, challenge: &Challenge) -> Option<Message> {
        let mut join = join.clone();
        let Message::Join { user_id, credential, .. } = &mut join else { return None };
        let signature = self.signer.sign_join(&self.host, user_id, challenge);
        let pairing = self.pairing.clone();
        *credential = Some(Box::new(Credential { key: self.signer.public(), signature, pairing }));
        Some(join)
    }
}
