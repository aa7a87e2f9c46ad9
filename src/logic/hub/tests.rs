//! The hub in virtual time.
