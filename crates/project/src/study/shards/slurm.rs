//! `--shard auto`: what Slurm's array jobs say of themselves.

use super::Shard;

/// Which task this is.
const ID: &str = "SLURM_ARRAY_TASK_ID";
/// How many there are.
const COUNT: &str = "SLURM_ARRAY_TASK_COUNT";
/// The first and the last.
const ENDS: [&str; 2] = ["SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX"];

/// The shard of a task of an array job (sbatch(1), "OUTPUT ENVIRONMENT VARIABLES"), and what it was
/// taken from; `variable` gives the environment.
///
/// Only whole arrays that begin at 0 or 1 are understood: in a part of one that is given again
/// (`--array=3,7`) Slurm counts the part only, so nobody can tell what the shards were.
///
/// # Errors
/// A sentence with the way out: no array job, or a part of one.
pub fn of_slurm(variable: impl Fn(&str) -> Option<String>) -> Result<(Shard, String), String> {
    let number = |name: &str| -> Result<Option<usize>, String> {
        let Some(text) = variable(name) else {
            return Ok(None);
        };
        let read = text.trim().parse().map(Some);
        read.map_err(|_| format!("{name} is `{text}`, which is no number"))
    };
    let needed = |name: &str| {
        number(name)?.ok_or_else(|| {
            format!(
                "this is no task of a Slurm array job, {name} is not set; give the shard, such as \
                 `--shard 3/8`"
            )
        })
    };
    let (id, count) = (needed(ID)?, needed(COUNT)?);
    // Where the ends of the array are not said: from 1, as docs/clusters.md recommends.
    let first = number(ENDS[0])?.unwrap_or(1);
    let last = number(ENDS[1])?.unwrap_or((first + count).saturating_sub(1));
    let is_whole = first <= 1 && count > 0 && last == first + count - 1;
    if !is_whole || !(first..=last).contains(&id) {
        return Err(format!(
            "the tasks of this Slurm array are {count} of {first} to {last}, which is a part of an \
             array or one with gaps, so the number of shards cannot be told; give it, such as \
             `--shard ${ID}/{}`",
            last.max(count)
        ));
    }
    let shard = Shard::new(id - first + 1, count)?;
    Ok((shard, format!("{ID}={id} of {COUNT}={count}, from {first}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken of these values of ID, COUNT, MIN and MAX.
    fn taken(values: [&str; 4]) -> Result<Shard, String> {
        let found = of_slurm(|name| {
            let ends = ["_ID", "_COUNT", "_MIN", "_MAX"];
            let place = ends.iter().position(|end| name.ends_with(end))?;
            let value = values[place];
            (!value.is_empty()).then(|| value.to_owned())
        });
        found.map(|(shard, _)| shard)
    }

    #[test]
    fn a_whole_array_gives_its_tasks_whether_it_begins_at_0_or_1() {
        assert_eq!(taken(["3", "8", "1", "8"]), Shard::new(3, 8));
        assert_eq!(taken(["0", "8", "0", "7"]), Shard::new(1, 8));
        assert_eq!(taken(["7", "8", "0", "7"]), Shard::new(8, 8));
        assert_eq!(taken(["2", "2", "", ""]), Shard::new(2, 2));
    }

    #[test]
    fn a_part_of_an_array_or_none_is_refused_with_the_way_out() {
        // `--array=3,7`, `--array=3`, `--array=1-8:2`, `--array=5-8`.
        for part in [
            ["3", "2", "3", "7"],
            ["3", "1", "3", "3"],
            ["5", "4", "1", "7"],
            ["5", "4", "5", "8"],
        ] {
            let said = taken(part).unwrap_err();
            assert!(said.contains("--shard $SLURM_ARRAY_TASK_ID/"), "{said}");
        }
        let said = taken(["", "", "", ""]).unwrap_err();
        assert!(said.contains("no task of a Slurm array job"), "{said}");
        let said = taken(["x", "8", "1", "8"]).unwrap_err();
        assert_eq!(said, "SLURM_ARRAY_TASK_ID is `x`, which is no number");
        assert!(taken(["9", "8", "1", "8"]).is_err());
        assert!(taken(["0", "0", "0", "0"]).is_err());
    }
}
