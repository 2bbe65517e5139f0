#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (kenh_fuzz::entry::log_entries().read)(data));
