#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (kenh_fuzz::entry::cursor().read)(data));
