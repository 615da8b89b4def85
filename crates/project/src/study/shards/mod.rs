//! One work for several machines: which fields are whose, and where each writes what it has done.
//!
//! A shard `i/n` takes every n-th field of the sorted list, whatever is done already and in
//! whatever order inputs are named, so that shards never meet and any of them may be given again.
//! `OUT/shards/COMMAND-N-HASH/units.csv` lists all fields of the work with their shards; beside it
//! each shard has a table of its own, which nobody else writes but where fields are made anew. So a
//! folder that many machines share needs no lock but for moments at the beginning, and has one
//! table a shard, not a file a field. `merge` joins the tables.

mod ended;
mod plan;
mod shard;
mod slurm;

pub(crate) use self::ended::Ended;
pub(crate) use self::plan::{Plan, Share, hold_table, tables_in};
pub use self::shard::Shard;
pub use self::slurm::of_slurm;
