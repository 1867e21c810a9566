//! COPY from the client, under a grant that writes.

use super::*;

const COPY: &str = "COPY app.c FROM STDIN";

fn writing() -> Wire {
    Wire::under(|grant| grant.effects = Effects::WRITE, None)
}

fn asks() -> Vec<u8> {
    message(b'G', b"\0\0\0")
}

fn rows() -> Vec<u8> {
    message(b'd', b"1\n")
}

fn failed() -> Vec<u8> {
    message(b'E', b"SERROR\0C22P02\0Mno number\0\0")
}

#[test]
fn the_rows_of_a_simple_copy_are_forwarded_once_the_target_asks_for_them() {
    let mut wire = writing();
    wire.client(&query(COPY));
    assert_eq!(wire.target_got(), "Q");
    wire.client(&[rows(), rows()].concat());
    assert_eq!(wire.target_got(), "", "nobody has asked for rows yet");
    wire.target(&asks());
    assert_eq!((wire.client_got(), wire.target_got()), ("G".to_owned(), "dd".to_owned()));
    wire.client(&message(b'c', b""));
    assert_eq!(wire.target_got(), "c");
    wire.target(&[complete("COPY 2"), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "C ZI");
    wire.client(&[rows(), query("SELECT 1").to_vec()].concat());
    assert_eq!(wire.target_got(), "Q", "rows without a COPY end here");
}

#[test]
fn the_syncs_that_the_target_passes_over_are_not_waited_for() {
    let mut wire = writing();
    wire.client(&[parse("", COPY), bind("", ""), execute(""), sync()].concat());
    assert_eq!(wire.target_got(), "PBEH", "the Sync waits until it is known whether rows are taken");
    wire.target(&[message(b'1', b""), message(b'2', b""), asks()].concat());
    wire.client(&[rows(), message(b'H', b""), message(b'c', b""), sync()].concat());
    assert_eq!(wire.target_got(), "dcS");
    wire.target(&[complete("COPY 1"), ready(b'I')].concat());
    assert_eq!(wire.client_got(), "1 2 G C ZI");
}

#[test]
fn a_copy_that_fails_before_or_within_its_rows_ends_as_the_target_says() {
    let mut wire = writing();
    wire.client(&[parse("", COPY), bind("", ""), execute(""), sync()].concat());
    wire.target(&[message(b'1', b""), message(b'2', b""), failed()].concat());
    assert_eq!(wire.target_got(), "PBEHS", "the Sync is for the error");
    wire.target(&ready(b'I'));
    assert_eq!(wire.client_got(), "1 2 22P02 ZI");
    wire.client(&query(COPY));
    wire.target(&asks());
    wire.client(&rows());
    wire.target(&failed());
    wire.client(&[rows(), message(b'c', b"")].concat());
    assert_eq!(wire.target_got(), "Qd", "what comes after the error is nobody's");
    wire.target(&ready(b'I'));
    wire.client(&query(COPY));
    wire.target(&asks());
    wire.client(&message(b'f', b"enough\0"));
    wire.target(&[failed(), ready(b'I')].concat());
    assert_eq!((wire.target_got(), wire.client_got()), ("Qf".to_owned(), "G 22P02 ZI G 22P02 ZI".to_owned()));
}

#[test]
fn nothing_but_rows_comes_in_the_middle_of_a_copy() {
    let mut wire = writing();
    wire.client(&query(COPY));
    wire.target(&asks());
    assert!(wire.input(Input::Client(query("SELECT 1"))).is_err());
}

#[test]
fn a_read_grant_copies_nothing_into_the_target() {
    let mut wire = Wire::new();
    wire.client(&[query(COPY).to_vec(), rows(), message(b'c', b"")].concat());
    assert_eq!((wire.target_got(), wire.client_got()), (String::new(), "25006 ZI".to_owned()));
}
