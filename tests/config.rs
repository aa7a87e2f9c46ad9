//! The configuration as a person meets it: what a file and the environment may say, and what the errors tell.

#[path = "config/environment.rs"]
mod environment;
#[path = "config/mistakes.rs"]
mod mistakes;
#[path = "config/place.rs"]
mod place;
#[path = "config/reading.rs"]
mod reading;
#[path = "config/reload.rs"]
mod reload;
#[path = "config/secrets.rs"]
mod secrets;
