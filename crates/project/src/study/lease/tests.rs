use std::sync::atomic::AtomicU64;

use super::file::remove_of_the_dead;
use super::*;

const QUICK: Terms = Terms {
    expires: Duration::from_millis(400),
    beat: Duration::from_millis(50),
};

fn thing(folder: &Path) -> Thing<'_> {
    Thing {
        folder,
        name: "test",
        command: "train",
    }
}

fn take(folder: &Path) -> Result<Lease, Box<Holder>> {
    thing(folder).take(QUICK, &Cancel::new()).unwrap()
}

/// Puts down a lease as another process would have.
fn put(folder: &Path, number: u64, holder: &Holder) {
    let text = serde_json::to_string(holder).unwrap() + "\n";
    std::fs::write(thing(folder).path(number), text).unwrap();
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn only_one_of_many_gets_the_work_and_it_is_free_again_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let held: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| take(folder.path())))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(held.iter().flatten().count() <= 1);
    drop(held);
    let ours = take(folder.path()).unwrap();
    // Beats keep it beyond the lease.
    std::thread::sleep(2 * QUICK.expires);
    let holder = take(folder.path()).err().unwrap();
    assert_eq!(holder.process, std::process::id());
    drop(ours);
    assert!(take(folder.path()).is_ok());
    assert_eq!(files(folder.path()), 0, "nothing is left");
}

#[test]
fn many_that_wait_all_get_it_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let inside = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let lease = thing(folder.path()).wait(&Cancel::new()).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(lease);
                }
            });
        }
    });
    assert_eq!(files(folder.path()), 0);
}

/// A holder that is dead, as far as this machine can tell.
#[cfg(target_os = "linux")]
fn dead() -> Holder {
    Holder {
        begun: "1".to_owned(),
        ..Holder::ours("train", Vec::new())
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_number_that_was_free_in_between_gives_no_second_holder() {
    let folder = tempfile::tempdir().unwrap();
    let slow = thing(folder.path());
    put(folder.path(), 0, &dead());
    let Asked::Free(found) = slow.ask(slow.numbers().unwrap(), QUICK).unwrap() else {
        panic!("its holder is dead");
    };
    assert_eq!(found, [0]);
    // Meanwhile one took it and gave it back, and the next one has number 0.
    drop(take(folder.path()).unwrap());
    let quick = take(folder.path()).unwrap();
    assert_eq!(slow.numbers().unwrap(), [0]);
    let claimed = slow.claim(&found, QUICK, &Cancel::new()).unwrap();
    let holder = claimed.err().expect("it is held");
    assert_eq!(*holder, quick.file.holder);
    assert_eq!(slow.numbers().unwrap(), [0], "the living lease stays");
    // The same where both claim after both have looked: one at most has it.
    drop(quick);
    put(folder.path(), 0, &dead());
    let first = slow.claim(&[0], QUICK, &Cancel::new()).unwrap();
    let second = slow.claim(&[0, 1], QUICK, &Cancel::new()).unwrap();
    assert!(first.is_ok() && second.is_err());
    assert_eq!(slow.numbers().unwrap(), [1]);
    drop(first);
    assert_eq!(files(folder.path()), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_sweep_gives_a_living_lease_back_that_came_after_the_look() {
    let folder = tempfile::tempdir().unwrap();
    let living = take(folder.path()).unwrap();
    remove_of_the_dead(&thing(folder.path()).path(0));
    assert!(living.file.touch(), "it was taken away");
    assert_eq!(files(folder.path()), 1);
    put(folder.path(), 1, &dead());
    remove_of_the_dead(&thing(folder.path()).path(1));
    assert_eq!(files(folder.path()), 1);
}

#[test]
fn whoever_slept_until_its_number_is_anothers_gives_up_and_leaves_that_alone() {
    let folder = tempfile::tempdir().unwrap();
    let slept = take(folder.path()).unwrap();
    let other = Holder::ours("train", Vec::new());
    put(folder.path(), 0, &other);
    assert!(!slept.file.touch());
    let begun = Instant::now();
    while !slept.is_lost() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never gave up");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(slept);
    let left = read(&thing(folder.path()).path(0));
    assert_eq!(left, Some(other), "it took another's lease away");
}

#[test]
fn a_lease_that_could_not_be_written_whole_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let file = File {
        path: thing(folder.path()).path(0),
        holder: Holder::ours("train", Vec::new()),
    };
    let full = file.write_new(|new| {
        new.write_all(b"{\"command\"")?;
        Err(std::io::ErrorKind::StorageFull.into())
    });
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(files(folder.path()), 0);
    // Another's is not.
    put(folder.path(), 0, &Holder::ours("train", Vec::new()));
    let there = file.write_new(|_| Ok(())).unwrap_err();
    assert_eq!(there.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(files(folder.path()), 1);
}

#[test]
fn waiting_for_what_another_has_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let held = take(folder.path()).unwrap();
    let cancel = Cancel::new();
    cancel.stop();
    let stopped = thing(folder.path()).wait(&cancel).err().unwrap();
    assert!(matches!(stopped, ProjectError::Cancelled), "{stopped}");
    // What is free is had, so that what is finished can be written down.
    drop(held);
    assert!(thing(folder.path()).wait(&cancel).is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_is_gone_from_this_machine_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let us = Holder::ours("train", Vec::new());
    // Ended and not yet waited for, as after a kill.
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let gone = Holder {
        process: child.id(),
        ..us.clone()
    };
    let begun = Instant::now();
    while gone.is_alive() != Some(false) {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "a dead child counts as alive"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    put(folder.path(), 0, &gone);
    assert!(take(folder.path()).is_ok());
    child.wait().unwrap();
    put(folder.path(), 0, &gone);
    assert!(take(folder.path()).is_ok());
    // Its number belongs to another process by now: ours.
    put(
        folder.path(),
        0,
        &Holder {
            begun: "1".to_owned(),
            ..us.clone()
        },
    );
    assert!(take(folder.path()).is_ok());
    // A process that runs holds it, however old the lease.
    put(folder.path(), 0, &us);
    std::thread::sleep(2 * QUICK.expires);
    assert!(take(folder.path()).is_err());
}

#[test]
fn another_machine_is_believed_until_its_lease_has_run_out() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Holder {
        process: 1,
        host: "elsewhere".to_owned(),
        boot: "another".to_owned(),
        ..Holder::ours("train", Vec::new())
    };
    put(folder.path(), 3, &elsewhere);
    assert_eq!(
        take(folder.path()).err().map(|holder| *holder),
        Some(elsewhere),
        "it may still be alive"
    );
    std::thread::sleep(2 * QUICK.expires);
    let ours = take(folder.path()).expect("it is dead");
    assert!(thing(folder.path()).path(4).exists());
    assert!(!thing(folder.path()).path(3).exists());
    // Somebody thought us dead.
    std::fs::write(thing(folder.path()).path(5), "").unwrap();
    let begun = Instant::now();
    while !ours.cancel.is_stopped() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never gave up");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(ours.is_lost());
}

#[test]
fn who_is_given_again_waits_for_one_that_was_killed_elsewhere_and_for_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let holder = |part: &str| Holder {
        host: "elsewhere".to_owned(),
        boot: "another".to_owned(),
        ..Holder::ours("predict --shard 1/2", vec![part.to_owned()])
    };
    let (machine, cancel) = (stainfree_network::Machine::new(1), Cancel::new());
    let job = Job::new(&crate::Silent, &cancel, &machine);
    let waited = |name: &str| {
        let begun = Instant::now();
        let names = BTreeSet::from([name]);
        let waited = thing(folder.path()).wait_for_the_dead(&names, &job);
        waited.unwrap();
        begun.elapsed()
    };
    put(folder.path(), 0, &holder("a"));
    assert!(waited("b") < Duration::from_secs(60), "not ours");
    // Killed so long ago that its lease runs out in a moment.
    let file = std::fs::File::options()
        .write(true)
        .open(thing(folder.path()).path(0));
    let long_ago = SystemTime::now() - Terms::default().expires + Duration::from_millis(500);
    file.unwrap().set_modified(long_ago).unwrap();
    let took = waited("a");
    assert!(took >= Duration::from_millis(400), "{took:?}");
    let ours = thing(folder.path()).share_fields(vec!["a".to_owned()], "wait", &cancel);
    assert!(ours.is_ok());
    // One that lives on this machine is not waited for.
    assert!(waited("a") < Duration::from_secs(60));
    let other = thing(folder.path()).share_fields(vec!["a".to_owned()], "wait", &cancel);
    let said = other.err().unwrap().to_string();
    assert!(
        said.ends_with("it does 1 of the same fields, such as `a`: wait"),
        "{said}"
    );
}

#[test]
fn parts_are_held_side_by_side_and_anybody_may_look() {
    let folder = tempfile::tempdir().unwrap();
    let share = |name: &str| {
        let parts = vec![name.to_owned()];
        thing(folder.path()).share(parts, &Cancel::new()).unwrap()
    };
    let (first, second) = (share("a"), share("b"));
    let held = || {
        let mut parts: Vec<String> = thing(folder.path())
            .holders()
            .into_iter()
            .flat_map(|h| h.parts)
            .collect();
        parts.sort();
        parts
    };
    assert_eq!(held(), ["a", "b"]);
    drop(first);
    assert_eq!(held(), ["b"]);
    let sentence = thing(folder.path())
        .must_be_free("wait")
        .unwrap_err()
        .to_string();
    assert!(sentence.contains("`train` (process "), "{sentence}");
    drop(second);
    assert_eq!(files(folder.path()), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_takes_anything_sweeps_up_after_the_dead() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let process = child.id();
    child.wait().unwrap();
    let gone = Holder {
        process,
        ..Holder::ours("new", Vec::new())
    };
    let text = serde_json::to_string(&gone).unwrap();
    let lease = folder.path().join(".stainfree-lease.making.0");
    let part = folder
        .path()
        .join(format!(".stainfree-lease.making.{process}-0.part"));
    std::fs::write(lease, text).unwrap();
    std::fs::write(part, "").unwrap();
    drop(take(folder.path()));
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn a_stop_reaches_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let user = Cancel::new();
    let lease = thing(folder.path()).take(QUICK, &user).unwrap().unwrap();
    // The bare flag: the lease has to raise it, since it knows nothing of the user's.
    let is_raised = || lease.cancel.flag().load(Ordering::SeqCst);
    assert!(!is_raised() && !lease.cancel.is_stopped());
    user.stop();
    assert!(lease.cancel.is_stopped(), "at once");
    let begun = Instant::now();
    while !is_raised() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never stopped");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!lease.is_lost());
}
