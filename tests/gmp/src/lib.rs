//! OpenH264 as a Gecko Media Plugin, for the tests with Firefox: the decoder only. Firefox loads the library into a
//! process of its own, asks it for `decode-video` and calls it on one thread. (It wants `encode-video` announced as
//! well before it speaks of H.264; nothing in the tests lets it encode.)
//!
//! The interface is C++ classes, which `abi` writes out as the tables of functions that they are (Itanium C++ ABI,
//! section 2.5). That leaves no way around unsafe code; it is in these two files, and no part of Callbox.

mod abi;

use std::ffi::{CStr, c_char, c_void};

use openh264::decoder::Decoder;
use openh264::formats::YUVSource;

use crate::abi::{Callback, EncodedFrame, Host, Table};

const NO_ERROR: i32 = 0;
const NOT_IMPLEMENTED: i32 = 4;
const DECODE_ERROR: i32 = 7;

#[unsafe(no_mangle)]
pub extern "C" fn GMPInit(_platform: *const c_void) -> i32 {
    NO_ERROR
}

#[unsafe(no_mangle)]
pub extern "C" fn GMPShutdown() {}

/// # Safety
/// `name` is a C string, `host` a `GMPVideoHost` that outlives what is made, and `plugin` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GMPGetAPI(name: *const c_char, host: *mut c_void, plugin: *mut *mut c_void) -> i32 {
    // SAFETY: by this function's own contract.
    unsafe {
        if CStr::from_ptr(name) != c"decode-video" {
            return NOT_IMPLEMENTED;
        }
        let made = Box::new(Plugin { table: abi::table(&TABLE), host: Host(host), open: None });
        *plugin = Box::into_raw(made).cast();
    }
    NO_ERROR
}

/// A `GMPVideoDecoder`.
#[repr(C)]
struct Plugin {
    table: *const c_void,
    host: Host,
    open: Option<(Decoder, Callback)>,
}

static TABLE: Table<Plugin> = Table {
    offset_to_top: 0,
    type_info: 0,
    destroy: never,
    delete: never,
    init_decode,
    decode,
    reset,
    drain,
    decoding_complete,
};

/// Firefox ends a decoder with `DecodingComplete`, its destructors are not for others.
extern "C" fn never(_this: *mut Plugin) {}

unsafe extern "C" fn init_decode(
    this: *mut Plugin,
    _codec: *const c_void,
    _specific: *const u8,
    _specific_length: u32,
    callback: *mut c_void,
    _cores: i32,
) {
    // SAFETY: Firefox calls with what `GMPGetAPI` has made, on one thread.
    let this = unsafe { &mut *this };
    let callback = Callback(callback);
    match Decoder::new() {
        Ok(decoder) => this.open = Some((decoder, callback)),
        Err(_) => callback.error(DECODE_ERROR),
    }
}

unsafe extern "C" fn decode(
    this: *mut Plugin,
    frame: *mut c_void,
    _missing: bool,
    _specific: *const u8,
    _specific_length: u32,
    _render_time: i64,
) {
    // SAFETY: as in `init_decode`.
    let this = unsafe { &mut *this };
    // Owned from here on, whatever comes of it.
    let frame = EncodedFrame(frame);
    let Some((decoder, callback)) = &mut this.open else { return frame.destroy() };
    let (mut unit, time, duration) = (frame.bytes(), frame.time(), frame.duration());
    frame.destroy();
    annex_b(&mut unit);
    match decoder.decode(&unit) {
        Ok(Some(picture)) => {
            let (width, height) = picture.dimensions();
            let planes = [picture.y(), picture.u(), picture.v()];
            match this.host.picture(width, height, planes, picture.strides(), time, duration) {
                Some(picture) => callback.decoded(picture),
                None => callback.error(DECODE_ERROR),
            }
        }
        Ok(None) => {}
        // A picture that refers to a lost one: Firefox asks for a key picture by itself.
        Err(_) => callback.error(DECODE_ERROR),
    }
    callback.input_data_exhausted();
}

unsafe extern "C" fn reset(this: *mut Plugin) {
    // SAFETY: as in `init_decode`.
    if let Some((decoder, callback)) = unsafe { &mut (*this).open } {
        if let Ok(fresh) = Decoder::new() {
            *decoder = fresh;
        }
        callback.reset_complete();
    }
}

unsafe extern "C" fn drain(this: *mut Plugin) {
    // SAFETY: as in `init_decode`. Nothing is ever held back.
    if let Some((_, callback)) = unsafe { &(*this).open } {
        callback.drain_complete();
    }
}

unsafe extern "C" fn decoding_complete(this: *mut Plugin) {
    // SAFETY: made by `GMPGetAPI`; Firefox does not name it again.
    drop(unsafe { Box::from_raw(this) });
}

/// Turns lengths into start codes, which OpenH264 reads (H.264, annex B). Firefox puts a length of four bytes, itself
/// included and in this machine's byte order, before each NAL unit.
fn annex_b(unit: &mut [u8]) {
    let mut rest = unit;
    while let Some((start, _)) = rest.split_first_chunk_mut::<4>() {
        let length = u32::from_ne_bytes(*start) as usize;
        *start = [0, 0, 0, 1];
        rest = rest.get_mut(length.max(4)..).unwrap_or_default();
    }
}
