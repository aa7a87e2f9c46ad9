//! A flashed board, from what people write on its card to what the daemon reads.
#![cfg(feature = "board")]

#[path = "board/card.rs"]
mod card;
#[path = "board/code.rs"]
mod code;
#[path = "board/import.rs"]
mod import;
#[path = "board/owner.rs"]
mod owner;
#[path = "common/partition.rs"]
mod partition;
#[path = "board/reset.rs"]
mod reset;
#[path = "board/wifi.rs"]
mod wifi;
