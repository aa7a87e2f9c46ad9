//! What people write on the boot partition, and what they are told there.

pub mod import;
mod led;
mod owner;
pub mod report;
pub mod reset;
pub mod settings;
pub mod storage;
