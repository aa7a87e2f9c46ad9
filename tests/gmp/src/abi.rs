//! Objects of Gecko's C++ classes, called through their tables: entry n of a table is the class's n-th virtual function
//! in the order in which gmp-api declares them, a virtual destructor taking two.

use std::ffi::c_void;
use std::mem::transmute;

/// The table of a `GMPVideoDecoder`, with what the ABI has in front of the functions.
#[repr(C)]
pub struct Table<T> {
    pub offset_to_top: isize,
    pub type_info: usize,
    pub destroy: extern "C" fn(*mut T),
    pub delete: extern "C" fn(*mut T),
    pub init_decode: unsafe extern "C" fn(*mut T, *const c_void, *const u8, u32, *mut c_void, i32),
    pub decode: unsafe extern "C" fn(*mut T, *mut c_void, bool, *const u8, u32, i64),
    pub reset: unsafe extern "C" fn(*mut T),
    pub drain: unsafe extern "C" fn(*mut T),
    pub decoding_complete: unsafe extern "C" fn(*mut T),
}

/// What an object points to: the first function in its table.
pub fn table<T>(table: &'static Table<T>) -> *const c_void {
    (&raw const table.destroy).cast()
}

/// The n-th virtual function of an object.
///
/// # Safety
/// `object` is one of C++ whose class has that many, and the function is used as what it is.
unsafe fn function(object: *mut c_void, n: usize) -> *const c_void {
    // SAFETY: an object with virtual functions begins with the address of its table.
    unsafe { *(*object.cast::<*const *const c_void>()).add(n) }
}

/// Calls a virtual function: `call!(object, n, (types) -> type, values)`.
macro_rules! call {
    ($object:expr, $n:literal, ($($kind:ty),*) $(-> $result:ty)? $(, $value:expr)*) => {{
        // SAFETY: Firefox's objects are valid while it lends them, and the numbers and types are gmp-api's.
        unsafe {
            let function: extern "C" fn(*mut c_void $(, $kind)*) $(-> $result)? = transmute(function($object, $n));
            function($object $(, $value)*)
        }
    }};
}

/// A `GMPVideoHost`.
pub struct Host(pub *mut c_void);

/// A `GMPVideoEncodedFrame`.
pub struct EncodedFrame(pub *mut c_void);

/// A `GMPVideoi420Frame`.
pub struct Picture(*mut c_void);

/// A `GMPVideoDecoderCallback`.
pub struct Callback(pub *mut c_void);

const I420: i32 = 1;

impl Host {
    /// A picture with this content; `None` where there is no memory for it.
    pub fn picture(
        &self,
        width: usize,
        height: usize,
        planes: [&[u8]; 3],
        strides: (usize, usize, usize),
        time: u64,
        duration: u64,
    ) -> Option<Picture> {
        let mut frame = std::ptr::null_mut();
        let error = call!(self.0, 0, (i32, *mut *mut c_void) -> i32, I420, &raw mut frame);
        if error != 0 || frame.is_null() {
            return None;
        }
        let int = |value: usize| i32::try_from(value).unwrap_or(0);
        let error = call!(
            frame, 3,
            (i32, *const u8, i32, *const u8, i32, *const u8, i32, i32, i32, i32, i32) -> i32,
            int(planes[0].len()), planes[0].as_ptr(),
            int(planes[1].len()), planes[1].as_ptr(),
            int(planes[2].len()), planes[2].as_ptr(),
            int(width), int(height), int(strides.0), int(strides.1), int(strides.2)
        );
        if error != 0 {
            call!(frame, 1, ());
            return None;
        }
        call!(frame, 14, (u64), time);
        call!(frame, 16, (u64), duration);
        Some(Picture(frame))
    }
}

impl EncodedFrame {
    /// A copy of what is in it.
    pub fn bytes(&self) -> Vec<u8> {
        let size = call!(self.0, 17, () -> u32) as usize;
        let start = call!(self.0, 20, () -> *const u8);
        if start.is_null() {
            return Vec::new();
        }
        // SAFETY: the buffer has that size while the frame lives.
        unsafe { std::slice::from_raw_parts(start, size) }.to_vec()
    }

    /// In microseconds.
    pub fn time(&self) -> u64 {
        call!(self.0, 9, () -> u64)
    }

    /// In microseconds.
    pub fn duration(&self) -> u64 {
        call!(self.0, 11, () -> u64)
    }

    pub fn destroy(self) {
        call!(self.0, 1, ())
    }
}

impl Callback {
    /// Hands the picture over.
    pub fn decoded(&self, picture: Picture) {
        call!(self.0, 2, (*mut c_void), picture.0)
    }

    pub fn input_data_exhausted(&self) {
        call!(self.0, 5, ())
    }

    pub fn drain_complete(&self) {
        call!(self.0, 6, ())
    }

    pub fn reset_complete(&self) {
        call!(self.0, 7, ())
    }

    pub fn error(&self, code: i32) {
        call!(self.0, 8, (i32), code)
    }
}
