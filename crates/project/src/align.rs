//! `align`: where the truth of each group of fields lies against the brightfield, as models see it
//! that have not met the fields.
//!
//! Here: which fields are looked at, by which model, and what is kept and drawn. Not here: truth as
//! it was given, pooling, verdicts ([`truth::align`](crate::truth::align)). Truth is read as it was
//! given each time, so that what was found before changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use stainfree_image::{Field, Image};
use stainfree_inference::{Device, Options, Pixels, RuleChoice};
use stainfree_network::weights;
use stainfree_objects::{IGNORED, TruthEvidence};

use crate::prediction::opened::OpenedModel;
use crate::study::config::nucleus_classes;
use crate::study::each_field::{EachField, of_this_field};
use crate::study::provenance::judge::{Candidate, Given, Judged};
use crate::study::provenance::{Content, Provenance};
use crate::study::{Source, Study};
use crate::truth::align::estimate::{Group, lay};
use crate::truth::align::keep::{self, Kept, KeptGroup, ModelUsed};
use crate::truth::align::{GroupLaid, Pool, Shown, Suspect, draw};
use crate::truth::as_given::{AsGiven, GivenNuclei, evidence};
use crate::truth::files::TruthFiles;
use crate::{GroupRule, Job, Part, ProjectError};

/// Probabilities of the four flips are averaged: they do not lean to one side.
const FLIPPED: Options = Options {
    flips: true,
    rule: RuleChoice::OfModel,
    device: Device::Cpu,
};

/// Fields looked at in a group unless it is said otherwise: a plate is certain long before all are
/// predicted.
pub const FIELDS_PER_GROUP: usize = 32;

/// What to look at, and with which models.
#[derive(Clone, Debug, Default)]
pub struct AlignOptions {
    /// Names of models of the study, or `virtual-plates`; each field is predicted by the first that
    /// has not met it. Empty = `virtual-plates`.
    pub models: Vec<String>,
    /// Which fields lie alike, as [`Pool::parse`] reads it; none = as the split's groups ask for.
    pub group: Option<String>,
    /// Most fields looked at in a group, evenly spread; none = [`FIELDS_PER_GROUP`].
    pub fields: Option<usize>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Aligned {
    /// Every group.
    pub groups: Vec<GroupLaid>,
    /// Fields whose truth is turned, or another field's.
    pub suspects: Vec<Suspect>,
    /// Fields of groups that every model has met, so that none can tell.
    pub met: Vec<String>,
    /// Fields that could not be looked at, a sentence each.
    pub failed: Vec<String>,
    /// Groups that were known from last time.
    pub kept: usize,
}

/// Finds where the truth of a study lies and keeps it, for `prepare` to move it.
///
/// # Errors
/// The study names no truth, no such model, a model without a record of what it trained on, no
/// field that a model has not met, a disk that cannot be written to, or
/// [`ProjectError::Cancelled`].
pub fn align(study: &Study, options: &AlignOptions, job: &Job) -> Result<Aligned, ProjectError> {
    let lease = study.truth_for("align");
    let lease = lease.own("wait until it ends, then align again", job.cancel)?;
    lease.during(job, |job| align_alone(study, options, job))
}

/// Forgets what was found: the next `prepare` leaves the truth where it was given. Says whether
/// there was anything.
///
/// # Errors
/// Another command makes the truth, or the files cannot be removed.
pub fn forget(study: &Study, job: &Job) -> Result<bool, ProjectError> {
    let lease = study.truth_for("align");
    let lease = lease.own("wait until it ends, then align again", job.cancel)?;
    lease.during(job, |_| keep::forget(study))
}

fn align_alone(study: &Study, options: &AlignOptions, job: &Job) -> Result<Aligned, ProjectError> {
    let source = study.source()?;
    let files = TruthFiles::find(study, &source.dataset)?;
    let pool = match &options.group {
        Some(rule) => Pool::parse(rule)?,
        None => Pool::of_split(&study.config().split.group)?,
    };
    let given = AsGiven::of(study, &source, &files);
    let all = fields_with_truth(study, &source, &given)?;
    let mut seers = Seers::open(study, &options.models, job)?;
    let chosen = seers.choose(study, &source, &pool, &all, job)?;
    let met = all
        .iter()
        .filter(|field| !chosen.contains_key(field.name.as_str()));
    let met: Vec<String> = met.map(|field| field.name.clone()).collect();
    let groups = groups_of(&pool, &all, &chosen, options.fields)?;
    let looked: usize = groups.values().map(Vec::len).sum();
    if looked < chosen.len() {
        job.progress.note(&format!(
            "looking at {looked} of {} fields: odd truth of the others is not found; `--fields` \
             looks at more",
            chosen.len()
        ));
    }
    let radius = study.config().truth.shift.max_radius_px;
    let mut kept = Kept::new(&pool, radius);
    let models = seers.used();
    let last = Kept::read(study).unwrap_or_else(|error| {
        job.progress.note(&format!(
            "what was found before is of no use, and every group is looked at anew: {error}"
        ));
        None
    });
    let before = last.as_ref().map(Kept::laid);
    let mut found = Aligned {
        groups: Vec::new(),
        suspects: Vec::new(),
        met,
        failed: Vec::new(),
        kept: 0,
    };
    let mut looking = Looking {
        study,
        files: &files,
        source: &source,
        given: &given,
        seers: &mut seers,
        chosen: &chosen,
        done: 0,
        total: looked,
        failed: &mut found.failed,
    };
    for (key, fields) in &groups {
        // A field that lacks something is told when it is looked at.
        let inputs = keep::inputs_of(study, &source, &files, fields).ok();
        let same = last.as_ref().zip(inputs);
        let same = same.and_then(|(last, inputs)| last.same(&kept, &models, &inputs));
        let group = match same {
            Some(group) => {
                found.kept += 1;
                looking.done += fields.len();
                group.clone()
            }
            None => looking.group(key, fields, radius, job)?,
        };
        kept.groups.push(group);
    }
    let made = found.kept < kept.groups.len();
    let looked = kept.groups.len();
    if let Some(last) = last {
        kept.carry_over(last, study, &source, &files, job);
    }
    kept.write(study)?;
    let laid = kept.laid();
    if made || before.as_ref() != Some(&laid) || !keep::picture_path(study).is_file() {
        draw(study, &shown(&source, &given, &kept.groups, &laid))?;
    }
    for (group, laid) in kept.groups.into_iter().zip(laid).take(looked) {
        found.groups.push(laid);
        found.suspects.extend(group.suspects);
    }
    Ok(found)
}

/// The fields that were given truth.
fn fields_with_truth<'a>(
    study: &Study,
    source: &'a Source,
    given: &AsGiven,
) -> Result<Vec<&'a Field>, ProjectError> {
    let fields = source.dataset.fields.iter();
    let all: Vec<&Field> = fields.filter(|field| given.has(field)).collect();
    match all.is_empty() {
        true => Err(ProjectError::Field(format!(
            "no field of `{}` was given any truth; name a nuclear stain, masks or labels in `{}`",
            study.root().display(),
            study.config_path().display()
        ))),
        false => Ok(all),
    }
}

/// The fields to look at by plate and group: those that a model has not met, evenly spread.
fn groups_of<'a>(
    pool: &Pool,
    all: &[&'a Field],
    chosen: &BTreeMap<&str, usize>,
    most: Option<usize>,
) -> Result<BTreeMap<(String, String), Vec<&'a Field>>, ProjectError> {
    let mut groups: BTreeMap<(String, String), Vec<&Field>> = BTreeMap::new();
    for field in all {
        if chosen.contains_key(field.name.as_str()) {
            groups.entry(pool.of(field)?).or_default().push(field);
        }
    }
    let most = most.unwrap_or(FIELDS_PER_GROUP).max(1);
    for fields in groups.values_mut() {
        let count = fields.len();
        if count > most {
            *fields = (0..most).map(|i| fields[i * count / most]).collect();
        }
    }
    Ok(groups)
}

/// A model that looks at fields.
struct Seer {
    name: String,
    model: OpenedModel,
    /// What it has met; none = no field of any study.
    record: Option<Provenance>,
    /// Its groups are those of the study.
    same_groups: bool,
}

/// The models that were asked for, in their order.
struct Seers(Vec<Seer>);

impl Seers {
    fn open(study: &Study, names: &[String], job: &Job) -> Result<Self, ProjectError> {
        let carried = [weights::VIRTUAL_PLATES.to_owned()];
        let names = if names.is_empty() {
            &carried[..]
        } else {
            names
        };
        let mut seers = Vec::new();
        for name in names {
            seers.push(match name.as_str() {
                weights::VIRTUAL_PLATES => Seer::carried(job)?,
                name => Seer::of_study(study, name, job)?,
            });
        }
        Ok(Self(seers))
    }

    fn used(&self) -> Vec<ModelUsed> {
        let used = |seer: &Seer| ModelUsed {
            name: seer.name.clone(),
            hash: seer.model.predictor.hash().to_owned(),
        };
        self.0.iter().map(used).collect()
    }

    /// Which model looks at which field: the first that has met none of those that lie alike. A
    /// model that has learned their truth has learned how far off it lies.
    fn choose<'a>(
        &self,
        study: &Study,
        source: &Source,
        pool: &Pool,
        fields: &[&'a Field],
        job: &Job,
    ) -> Result<BTreeMap<&'a str, usize>, ProjectError> {
        let mut candidates = None;
        let mut chosen = BTreeMap::new();
        for (number, seer) in self.0.iter().enumerate() {
            let unseen: BTreeSet<String> = match &seer.record {
                None => fields.iter().map(|field| field.name.clone()).collect(),
                Some(record) => {
                    let candidates = match &candidates {
                        Some(known) => known,
                        None => candidates.insert(candidates_of(study, source, fields, job)?),
                    };
                    seer.unseen(record, candidates)
                }
            };
            let met = fields.iter().filter(|field| !unseen.contains(&field.name));
            let met: BTreeSet<(String, String)> =
                met.map(|field| pool.of(field)).collect::<Result<_, _>>()?;
            for field in fields {
                if !met.contains(&pool.of(field)?) {
                    chosen.entry(field.name.as_str()).or_insert(number);
                }
            }
        }
        match chosen.is_empty() {
            true => Err(ProjectError::Field(format!(
                "every group of fields of `{}` that lie alike holds some that have trained or \
                 chose {}; name a model that has not met them with `--model` (`{}` has met none)",
                study.root().display(),
                match self.0.as_slice() {
                    [only] => format!("the model `{}`", only.name),
                    _ => "one of the models".to_owned(),
                },
                weights::VIRTUAL_PLATES
            ))),
            false => Ok(chosen),
        }
    }
}

impl Seer {
    /// The model that the program carries, which has met virtual plates only.
    fn carried(job: &Job) -> Result<Self, ProjectError> {
        Ok(Self {
            name: weights::VIRTUAL_PLATES.to_owned(),
            // Flips take out what a network itself shifts, which is half a pixel.
            model: OpenedModel::of(weights::virtual_plates()?, job.machine, &FLIPPED),
            record: None,
            same_groups: false,
        })
    }

    /// A model of the study.
    fn of_study(study: &Study, name: &str, job: &Job) -> Result<Self, ProjectError> {
        let folder = study.trained_model(Some(name))?;
        let model = OpenedModel::open(&folder, job.machine, &FLIPPED)?;
        let hashes = &model.predictor.info().hashes;
        let Some(record) = Provenance::of_model(&folder, hashes)? else {
            return Err(ProjectError::Usage(format!(
                "the model `{name}` does not record what it trained on, so that it cannot judge \
                 the truth of fields it may know; train it again with this version, or take `{}`",
                weights::VIRTUAL_PLATES
            )));
        };
        if let [first, ..] = record.unknown_ancestors().as_slice() {
            job.progress.note(&format!(
                "what `{first}` was trained on, from which `{name}` started, is not recorded: it \
                 may know the fields"
            ));
        }
        let group = GroupRule::canonical(&study.config().split.group);
        let trained_here = study.run_path(name).join("log.jsonl").is_file();
        Ok(Self {
            name: name.to_owned(),
            same_groups: trained_here && GroupRule::canonical(&record.group) == group,
            record: Some(record),
            model,
        })
    }

    /// The fields that it has not met.
    fn unseen(&self, record: &Provenance, candidates: &[Candidate]) -> BTreeSet<String> {
        let judged = Judged {
            name: &self.name,
            hash: self.model.predictor.hash(),
            record: Some(record),
            same_groups: self.same_groups,
            otherwise_known: false,
        };
        // Where nothing is left, another model may look.
        let chosen = judged.choose(Part::Test, candidates);
        chosen.map_or(BTreeSet::new(), |(names, _)| names.into_iter().collect())
    }
}

/// What fields are recognised by, and their groups in the split.
fn candidates_of(
    study: &Study,
    source: &Source,
    fields: &[&Field],
    job: &Job,
) -> Result<Vec<Candidate>, ProjectError> {
    let rule = GroupRule::parse(&study.config().split.group)?;
    let of = |field: &Field, content| Candidate {
        name: field.name.clone(),
        group: rule.group(field).ok(),
        content,
        given: Given {
            classes: false,
            nuclei: false,
        },
        corrected: false,
    };
    EachField::new(&job.quiet(), fields, |field| field.name.clone()).at_once(
        |field| {
            let planes = source.brightfield.read(field)?;
            Ok(of(field, Content::of_planes(&planes)))
        },
        // What cannot be read is told when it is looked at.
        |field, _| Ok(of(field, Content::default())),
    )
}

/// Looking at the fields of groups.
struct Looking<'a> {
    study: &'a Study,
    files: &'a TruthFiles,
    source: &'a Source,
    given: &'a AsGiven<'a>,
    seers: &'a mut Seers,
    /// The number of the model for each field.
    chosen: &'a BTreeMap<&'a str, usize>,
    done: usize,
    total: usize,
    failed: &'a mut Vec<String>,
}

impl Looking<'_> {
    /// What is known of a group.
    fn group(
        &mut self,
        (plate, group): &(String, String),
        fields: &[&Field],
        max_radius_px: f64,
        job: &Job,
    ) -> Result<KeptGroup, ProjectError> {
        let mut seen: Vec<(&Field, TruthEvidence)> = Vec::new();
        let mut models = BTreeSet::new();
        for &field in fields {
            job.cancel.check()?;
            match self.field(field, job) {
                Ok(evidence) => seen.push((field, evidence)),
                Err(error) => self.failed.push(of_this_field(error)?.to_string()),
            }
            models.insert(self.chosen[field.name.as_str()]);
            self.done += 1;
            job.progress.step(self.done, self.total, &field.name);
        }
        let (fields, evidence): (Vec<&Field>, Vec<TruthEvidence>) = seen.into_iter().unzip();
        let names = models
            .iter()
            .map(|&number| self.seers.0[number].name.as_str());
        let names: Vec<&str> = names.collect();
        let of = Group {
            plate,
            group,
            fields: &fields,
            models: names.join(", "),
        };
        let found = lay(&of, &evidence, max_radius_px);
        Ok(KeptGroup {
            laid: found.laid,
            fits: found.fits,
            pixel_um: fields.first().and_then(|field| field.pixel_um),
            suspects: found.suspects,
            models: self.seers.used(),
            inputs: keep::inputs_of(self.study, self.source, self.files, &fields)?,
            fields: fields.iter().map(|field| field.name.clone()).collect(),
        })
    }

    /// What a field says.
    fn field(&mut self, field: &Field, job: &Job) -> Result<TruthEvidence, ProjectError> {
        let planes = self.source.brightfield.read(field)?;
        let given = self.given.nuclei(field, planes[0].size())?;
        let seer = &mut self.seers.0[self.chosen[field.name.as_str()]];
        let pixels = seer.model.predict(field, &planes, job)?;
        let classes = &seer.model.predictor.info().classes;
        let probability = nucleus_probability(&pixels, classes);
        let seen = pixels.classes.map(|&class| class != IGNORED);
        let seen = seen.data().contains(&false).then_some(seen);
        job.run(|| evidence(field, &probability, seen.as_ref(), &given))?
    }
}

/// The probability that a pixel is one of a nucleus, mitotic ones included.
fn nucleus_probability(pixels: &Pixels, classes: &[String]) -> Image<f32> {
    let planes = pixels.probabilities();
    let of = nucleus_classes(classes);
    let (height, width) = pixels.classes.size();
    Image::from_fn(height, width, |y, x| {
        let nuclei = of.iter().filter_map(|&class| planes.get(class));
        nuclei.map(|plane| plane.get(y, x)).sum()
    })
}

/// A field of the groups that lie furthest off.
fn shown(source: &Source, given: &AsGiven, groups: &[KeptGroup], laid: &[GroupLaid]) -> Vec<Shown> {
    let length = |laid: &GroupLaid| {
        laid.dy_px
            .zip(laid.dx_px)
            .map_or(-1.0, |(dy, dx)| dy.hypot(dx))
    };
    let mut order: Vec<(&KeptGroup, &GroupLaid)> = groups.iter().zip(laid).collect();
    // Those that are moved come first.
    order.sort_by(|(_, a), (_, b)| {
        let moves = b.verdict.moves().cmp(&a.verdict.moves());
        moves.then(length(b).total_cmp(&length(a)))
    });
    let by_name = source.by_name();
    let one = |(group, laid): (&KeptGroup, &GroupLaid)| {
        let odd = |name: &&String| group.suspects.iter().any(|s| s.field == **name);
        let name = group.fields.iter().find(|name| !odd(name))?;
        let field = by_name.get(name.as_str())?;
        // What cannot be read was told before.
        let planes = source.brightfield.read(field).ok()?;
        let brightfield = planes.get(planes.len() / 2)?.to_f32();
        let GivenNuclei { labels, .. } = given.nuclei(field, brightfield.size()).ok()?;
        Some(Shown {
            field: name.clone(),
            laid: laid.clone(),
            brightfield,
            nuclei: labels,
        })
    };
    let found = order.into_iter().filter_map(one);
    found.take(crate::truth::align::SHOWN).collect()
}
