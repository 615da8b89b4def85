//! The fields of a work with their shards, and the tables of those.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use stainfree_image::Field;

use super::Shard;
use crate::study::disk::create_folder;
use crate::study::fingerprint::Fingerprint;
use crate::study::lease::{Lease, Thing};
use crate::study::table;
use crate::{Cancel, Job, ProjectError};

/// The folder of plans and tables in a folder of results.
pub(crate) const FOLDER: &str = "shards";
/// The list of a plan.
const UNITS: &str = "units.csv";

/// A field of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    pub(crate) name: String,
    /// Its plate; empty where it has none.
    pub(crate) plate: String,
    /// Whose it is, from 1.
    pub(crate) shard: usize,
}

/// What is shared among how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Where the list and the tables lie.
    pub(crate) folder: PathBuf,
    pub(crate) command: String,
    pub(crate) count: usize,
    /// Sorted by name.
    pub(crate) units: Vec<Unit>,
}

impl Plan {
    /// The plan of these fields, each with its plate, for results in `out`; `what` tells it from
    /// others of the same command and fields there.
    pub(crate) fn of<'a>(
        (command, what): (&str, &str),
        out: &Path,
        fields: impl Iterator<Item = (&'a str, Option<&'a str>)>,
        count: usize,
    ) -> Self {
        let sorted: BTreeMap<&str, Option<&str>> = fields.collect();
        let mut hash = Fingerprint::new(1);
        hash.text(what);
        let mut units = Vec::with_capacity(sorted.len());
        for (place, (name, plate)) in sorted.into_iter().enumerate() {
            hash.text(name);
            units.push(Unit {
                name: name.to_owned(),
                plate: plate.unwrap_or_default().to_owned(),
                shard: Shard::at(place, count),
            });
        }
        let name = format!("{command}-{count}-{}", hash.finish_short(4));
        Self {
            folder: out.join(FOLDER).join(name),
            command: command.to_owned(),
            count,
            units,
        }
    }

    /// Writes the list, which is the same whoever writes it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn write(&self) -> Result<(), ProjectError> {
        let path = self.folder.join(UNITS);
        if path.is_file() {
            return Ok(());
        }
        create_folder(&self.folder)?;
        match self.units.is_empty() {
            // Without rows the table would have no head.
            true => Ok(stainfree_image::write_atomic(&path, b"name,plate,shard\n")?),
            false => table::write(&path, &self.units),
        }
    }

    /// The table of a shard.
    pub(crate) fn table(&self, index: usize) -> PathBuf {
        let digits = self.count.to_string().len();
        self.folder.join(format!("shard-{index:0digits$}.csv"))
    }

    /// All plans in `out`, sorted by name.
    ///
    /// # Errors
    /// A list is damaged.
    pub(crate) fn all_in(out: &Path) -> Result<Vec<Self>, ProjectError> {
        folders_in(out)
            .iter()
            .map(|folder| Self::read(folder))
            .collect()
    }

    fn read(folder: &Path) -> Result<Self, ProjectError> {
        let path = folder.join(UNITS);
        let way_out = "delete the folder of this table and give its shards again";
        let mut units: Vec<Unit> = table::read(&path, &["name", "plate"], way_out)?;
        units.sort_by(|a, b| a.name.cmp(&b.name));
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        // `COMMAND-N-HASH`, as listed by `folders_in`.
        let (command, count) = parts_of(&name).unwrap_or_default();
        Ok(Self {
            folder: folder.to_owned(),
            command,
            count,
            units,
        })
    }
}

/// The fields that a run takes: all of a work, or those of its shard.
pub(crate) struct Share(Option<(Plan, Shard)>);

impl Share {
    /// Of these fields, for results in `out`, as [`Plan::of`].
    pub(crate) fn of<'a>(
        work: (&str, &str),
        out: &Path,
        fields: impl Iterator<Item = &'a Field>,
        shard: Option<Shard>,
    ) -> Self {
        let named = fields.map(|field| (&*field.name, field.position.plate.as_deref()));
        Self(shard.map(|shard| (Plan::of(work, out, named, shard.count()), shard)))
    }

    /// Whether the field is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        let Some((plan, shard)) = &self.0 else {
            return true;
        };
        let place = plan.units.binary_search_by(|unit| (*unit.name).cmp(name));
        place.is_ok_and(|place| plan.units[place].shard == shard.index())
    }

    /// The shard.
    pub(crate) fn shard(&self) -> Option<Shard> {
        self.0.as_ref().map(|(_, shard)| *shard)
    }

    /// What a process that does them says it runs.
    pub(crate) fn command(&self, command: &str) -> String {
        let shard = self.shard();
        shard.map_or(command.to_owned(), |shard| {
            format!("{command} --shard {shard}")
        })
    }

    /// Waits for a process of another machine that was killed at fields of this shard.
    ///
    /// # Errors
    /// [`ProjectError::Cancelled`].
    pub(crate) fn wait_for_the_dead(&self, fields: &Thing, job: &Job) -> Result<(), ProjectError> {
        let Some((plan, shard)) = &self.0 else {
            return Ok(());
        };
        let ours = plan.units.iter().filter(|unit| unit.shard == shard.index());
        fields.wait_for_the_dead(&ours.map(|unit| &*unit.name).collect(), job)
    }

    /// The table of the shard; `None` of all fields.
    pub(crate) fn table(&self) -> Option<PathBuf> {
        let (plan, shard) = self.0.as_ref()?;
        Some(plan.table(shard.index()))
    }

    /// Writes the list of the plan, and says whether the same fields were shared otherwise before.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn write(&self, job: &Job) -> Result<(), ProjectError> {
        let Some((plan, shard)) = &self.0 else {
            return Ok(());
        };
        plan.write()?;
        let name = |folder: &Path| -> Option<(String, usize, String)> {
            let name = folder.file_name()?.to_string_lossy().into_owned();
            let (command, count) = parts_of(&name)?;
            Some((command, count, name.rsplit_once('-')?.1.to_owned()))
        };
        let Some((command, count, hash)) = name(&plan.folder) else {
            return Ok(());
        };
        let above = plan.folder.parent().and_then(Path::parent);
        let others = folders_in(above.unwrap_or(Path::new("."))).into_iter();
        let others = others.filter_map(|folder| name(&folder));
        let others = others.filter(|(c, n, h)| (c, h) == (&command, &hash) && *n != count);
        let others: Vec<String> = others.map(|(_, n, _)| n.to_string()).collect();
        if !others.is_empty() {
            job.progress.note(&format!(
                "these fields were shared among {} before, and now among {count}: what is done \
                 stays done, and this is shard {shard} of the new division",
                others.join(" and ")
            ));
        }
        Ok(())
    }
}

/// Command and count in the name of a plan's folder.
fn parts_of(name: &str) -> Option<(String, usize)> {
    let (rest, hash) = name.rsplit_once('-')?;
    let (command, count) = rest.rsplit_once('-')?;
    let count = count.parse().ok().filter(|count| *count > 0)?;
    let is_hash = hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| (command.to_owned(), count))
}

/// The folders of plans that have a list, sorted.
fn folders_in(out: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(out.join(FOLDER)).into_iter().flatten();
    let is_plan = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        parts_of(&name).is_some() && path.join(UNITS).is_file()
    };
    let folders = entries.flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = folders.filter(is_plan).collect();
    folders.sort();
    folders
}

/// The tables of all shards of `command` in `out` that are there, sorted.
pub(crate) fn tables_in(out: &Path, command: &str) -> Vec<PathBuf> {
    let is_of = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        parts_of(&name).is_some_and(|(other, _)| other == command)
    };
    let is_table = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("shard-") && name.ends_with(".csv")
    };
    let folders = folders_in(out).into_iter().filter(is_of);
    let entries = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    let paths = entries.flatten().map(|entry| entry.path());
    let mut tables: Vec<PathBuf> = paths.filter(is_table).collect();
    tables.sort();
    tables
}

/// Held for moments by whoever changes the table of a shard: the shard itself, and who makes fields
/// of it anew.
///
/// # Errors
/// The folder cannot be written; [`ProjectError::Cancelled`] after a stop.
pub(crate) fn hold_table(
    table: &Path,
    command: &str,
    cancel: &Cancel,
) -> Result<Lease, ProjectError> {
    let name = table.file_stem().unwrap_or_default().to_string_lossy();
    Thing {
        folder: table.parent().unwrap_or(Path::new(".")),
        name: &name,
        command,
    }
    .wait(cancel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(out: &Path, names: &[&str], count: usize) -> Plan {
        let fields = names.iter().map(|name| (*name, Some("p")));
        Plan::of(("predict", ""), out, fields, count)
    }

    #[test]
    fn whose_a_field_is_depends_on_names_and_count_only() {
        let out = Path::new("out");
        let one = plan(out, &["c", "a", "b", "d"], 3);
        assert_eq!(one, plan(out, &["d", "b", "a", "c"], 3));
        let shards: Vec<usize> = one.units.iter().map(|unit| unit.shard).collect();
        assert_eq!(shards, [1, 2, 3, 1]);
        let share = |index| Share(Some((one.clone(), Shard::new(index, 3).unwrap())));
        assert!(share(1).has("d") && !share(2).has("d") && !share(1).has("e"));
        assert!(Share(None).has("e") && Share(None).table().is_none());
        assert_ne!(one.folder, plan(out, &["a", "b", "c"], 3).folder);
        assert_ne!(one.folder, plan(out, &["a", "b", "c", "d"], 4).folder);
    }

    #[test]
    fn what_is_written_is_read_again_beside_the_tables_of_the_shards() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        assert_eq!(Plan::all_in(out).unwrap(), []);
        let plans = [plan(out, &["a", "b, c"], 12), plan(out, &[], 2)];
        for plan in &plans {
            plan.write().unwrap();
            plan.write().unwrap();
        }
        std::fs::create_dir(out.join("shards/notes")).unwrap();
        assert_eq!(Plan::all_in(out).unwrap(), plans);
        let table = plans[0].table(3);
        assert!(table.ends_with("shard-03.csv"), "{}", table.display());
        std::fs::write(&table, "name\n").unwrap();
        assert_eq!(tables_in(out, "predict"), [table]);
        assert_eq!(tables_in(out, "segment"), [] as [PathBuf; 0]);
    }
}
