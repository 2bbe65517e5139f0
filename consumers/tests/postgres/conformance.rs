//! What every store must do, for this one.

use crate::server::of_dir as open;
use crate::stores;

#[test]
fn what_is_applied_is_there_after_reopening() {
    stores::what_is_applied_is_there_after_reopening(open);
}

#[test]
fn an_index_finds_in_key_order_from_a_cursor() {
    stores::an_index_finds_in_key_order_from_a_cursor(open);
}

#[test]
fn a_generation_takes_the_place_of_another_in_one_step() {
    stores::a_generation_takes_the_place_of_another_in_one_step(open);
}

#[test]
fn a_card_is_renewed_in_place_and_only_for_the_same_rows() {
    stores::a_card_is_renewed_in_place_and_only_for_the_same_rows(open);
}

#[test]
fn a_snapshot_is_one_state() {
    stores::a_snapshot_is_one_state(open);
}

#[test]
fn a_second_process_is_refused() {
    stores::a_second_process_is_refused(open);
}

#[test]
fn it_does_what_the_plainest_store_does() {
    stores::it_does_what_the_plainest_store_does(open);
}
