//! The settings of glibc's allocator that a daemon of many calls needs, and the package's only unsafe code.
//!
//! Each call allocates pictures of a megabyte and more, in Rust and inside OpenH264, and frees them at its end. glibc
//! answers the first such free by raising the size from which it maps memory apart (`mallopt(3)`, M_MMAP_THRESHOLD), so
//! later pictures land in the heaps of whichever thread asked, and never leave: 60 MB after forty calls where one call
//! takes 32. A threshold set by hand stays where it is.
//!
//! What is smaller lies in up to eight heaps for each core. A call's threads are others than the last one's and take
//! other heaps, while what the last ones freed stays where it was: 3 MB after four calls.

#![allow(unsafe_code)]

/// To be called before the first thread starts.
pub fn keep_large_blocks_apart() {
    // glibc's own initial value, in bytes.
    #[cfg(target_env = "gnu")]
    set(libc::M_MMAP_THRESHOLD, 128 * 1024);
}

/// One heap for all threads, for a daemon whose threads come and go and allocate some hundred times a second. To be
/// called before the first of them starts.
#[cfg(feature = "device")]
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    set(libc::M_ARENA_MAX, 1);
}

#[cfg(target_env = "gnu")]
fn set(setting: i32, value: i32) {
    // SAFETY: mallopt takes two integers and touches nothing but the allocator's own settings. It returns 0 where it
    // does not know the setting, and then everything is as before.
    let _ = unsafe { libc::mallopt(setting, value) };
}
