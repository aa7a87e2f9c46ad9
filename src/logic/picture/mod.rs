//! Encoded pictures on their way to many viewers: how fast, how large, and who gets which.

pub mod fanout;
pub mod level;
pub mod pace;
