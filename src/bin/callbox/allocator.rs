//! The one setting of glibc's allocator that a daemon of many calls needs, and the package's only unsafe code.
//!
//! Each call allocates pictures of a megabyte and more, in Rust and inside OpenH264, and frees them at its end. glibc
//! answers the first such free by raising the size from which it maps memory apart (`mallopt(3)`, M_MMAP_THRESHOLD), so
//! later pictures land in the heaps of whichever thread asked, and never leave: 60 MB after forty calls where one call
//! takes 32. A threshold set by hand stays where it is.

#![allow(unsafe_code)]

/// To be called before the first thread starts.
#[cfg(target_env = "gnu")]
pub fn keep_large_blocks_apart() {
    /// glibc's own initial value, in bytes.
    const MMAP_THRESHOLD: i32 = 128 * 1024;
    // SAFETY: mallopt takes two integers and touches nothing but the allocator's own settings. It returns 0 where it
    // does not know the setting, and then everything is as before.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD) };
}

#[cfg(not(target_env = "gnu"))]
pub fn keep_large_blocks_apart() {}
