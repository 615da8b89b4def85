//! What a study on disk promises, through the calls that the program makes: one binary, a module a
//! subject.

mod channels;
mod common;
mod config;
mod convert;
mod evaluate;
mod experiment;
mod fields;
mod groups;
mod guard;
mod human;
mod kinds;
mod measure;
mod new;
mod provenance;
mod recipe;
mod screen;
mod shift;
mod simulate;
mod split;
mod study;
mod truth;
