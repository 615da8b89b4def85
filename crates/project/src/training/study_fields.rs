//! The fields of a study as a network learns from them.

use std::collections::BTreeMap;
use std::error::Error;

use stainfree_image::{Field, Image, Plane, read_class_mask, read_labels};
use stainfree_inference::planes::{full_range, intensities, resample_blank, without_blanks};
use stainfree_network::model::sha256;
use stainfree_network::resample::{resample, resample_classes, resampled_size};
use stainfree_network::train::{FieldContent, RawField, TrainingData};
use stainfree_objects::{apply_ignore, blank_regions};

use crate::study::fields::FieldRow;
use crate::study::provenance::{Content, content_of, full_range_of};
use crate::study::{Source, Study};
use crate::{Part, ProjectError};

/// The fields of one part of a study, as the network reads them.
pub(crate) struct StudyFields<'a> {
    study: &'a Study,
    source: &'a Source,
    pub(crate) fields: Vec<&'a Field>,
    /// Every field of a known pixel size is brought to this one, um.
    pub(crate) pixel_um: Option<f64>,
    /// Whether nuclei are learned from one by one, and not only as a class.
    pub(crate) labelled: bool,
    /// What fields are recognised by, as far as it is known already.
    pub(crate) contents: BTreeMap<String, Content>,
}

impl<'a> StudyFields<'a> {
    pub(crate) fn of(
        study: &'a Study,
        source: &'a Source,
        rows: &[FieldRow],
        part: Part,
    ) -> Result<Self, ProjectError> {
        let by_name = source.by_name();
        let fields = rows
            .iter()
            .filter(|row| row.split == Some(part))
            .map(|row| {
                by_name
                    .get(row.name.as_str())
                    .copied()
                    .ok_or_else(|| ProjectError::NotAmongImages(row.name.clone()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            study,
            source,
            fields,
            pixel_um: None,
            labelled: false,
            contents: BTreeMap::new(),
        })
    }

    pub(crate) fn fields(&self) -> &[&'a Field] {
        &self.fields
    }

    /// Planes a field has: the same for all.
    pub(crate) fn planes(&self) -> Result<usize, ProjectError> {
        let Some(first) = self.fields.first() else {
            return Ok(1);
        };
        let expected = self.source.brightfield.planes_of(first)?.len();
        for field in &self.fields {
            let found = self.source.brightfield.planes_of(field)?.len();
            if found != expected {
                return Err(ProjectError::Failed(format!(
                    "field `{}` has {found} brightfield planes where others have {expected}; set \
                     `images.planes`",
                    field.name
                )));
            }
        }
        Ok(expected)
    }

    /// The pixel size that the model is for: the median of the fields', or, where they are left as
    /// they are, the one they share. None where a size is not known.
    pub(crate) fn pixel_um(&self, rescale: bool) -> Option<f64> {
        let mut sizes = self
            .fields
            .iter()
            .map(|field| field.pixel_um)
            .collect::<Option<Vec<_>>>()?;
        sizes.sort_by(f64::total_cmp);
        let (first, last) = (*sizes.first()?, *sizes.last()?);
        (rescale || last - first < 1e-6 * first).then(|| sizes[sizes.len() / 2])
    }
}

impl TrainingData for StudyFields<'_> {
    fn len(&self) -> usize {
        self.fields.len()
    }

    fn name(&self, field: usize) -> String {
        self.fields[field].name.clone()
    }

    fn read(&self, field: usize) -> Result<RawField, Box<dyn Error + Send + Sync>> {
        let field = self.fields[field];
        let planes = self.source.brightfield.read(field)?;
        let target = read_class_mask(&self.study.class_mask_path(&field.name))?;
        let labels = match self.labelled {
            true => Some(read_labels(&self.study.nuclei_path(&field.name))?),
            false => None,
        };
        raw_field(&planes, (target, labels), field.pixel_um.zip(self.pixel_um))
    }

    /// As the record of the training has it, and whether and how far the field is resampled. The
    /// record goes by values alone; what the network is given also depends on their format's range.
    fn content(&self, field: usize) -> Result<FieldContent, Box<dyn Error + Send + Sync>> {
        let field = self.fields[field];
        let content = match self.contents.get(&field.name) {
            Some(known) => known.clone(),
            None => content_of(self.study, self.source, field)?,
        };
        // Nuclei count only where they are learned from.
        let nuclei = content.nuclei.clone().filter(|_| self.labelled);
        let scale = [field.pixel_um, self.pixel_um].map(|um| um.unwrap_or(0.0));
        let classes = match content.classes {
            Some(classes) => classes,
            // Of a single class: which one, no hash says.
            None => {
                let mask = read_class_mask(&self.study.class_mask_path(&field.name))?;
                sha256(mask.data())
            }
        };
        let truth = match nuclei {
            Some(nuclei) => format!("{classes} {nuclei}"),
            None => classes,
        };
        Ok(FieldContent {
            name: field.name.clone(),
            image: sha256(format!("{} {scale:?}", content.image.join(" ")).as_bytes()),
            truth,
            full_range: Some(full_range_of(self.source, field)?),
        })
    }
}

/// A field as a network is given it, of `planes` as they were read, and its truth at their size.
/// With two `sizes` it is brought from the one to the other, um.
///
/// # Errors
/// Sizes that do not fit each other.
pub(crate) fn raw_field(
    planes: &[Plane],
    (target, labels): (Image<u8>, Option<Image<u32>>),
    sizes: Option<(f64, f64)>,
) -> Result<RawField, Box<dyn Error + Send + Sync>> {
    let (full_range, planes) = (full_range(&planes[0]), intensities(planes));
    let (planes, blank) = without_blanks(planes);
    let mut raw = RawField {
        full_range,
        planes,
        blank,
        target,
        labels,
    };
    if let Some(regions) = raw.blank.as_ref().and_then(blank_regions) {
        apply_ignore(&mut raw.target, &regions)?;
    }
    let Some((from, to)) = sizes else {
        return Ok(raw);
    };
    let (height, width) = raw.planes[0].size();
    if let Some([height, width]) = resampled_size([height, width], from, to)? {
        for plane in &mut raw.planes {
            *plane = resample(plane, height, width);
        }
        raw.blank = raw.blank.map(|blank| resample_blank(&blank, height, width));
        raw.target = resample_classes(&raw.target, height, width);
        let labels = raw.labels;
        raw.labels = labels.map(|labels| resample_classes(&labels, height, width));
    }
    Ok(raw)
}
