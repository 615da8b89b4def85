//! What is known of a model's numbers when somebody wants to use them.

use crate::standing::Standing;

/// All of it. What is not known is `None` everywhere, and never 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The test of the model; none where it was not tested, or nobody has its scores.
    pub test: Option<Tested>,
    /// The result whose numbers are to be used; none where it is the test's own fields.
    pub result: Option<Used>,
}

/// What a model's test says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tested {
    /// What the fields were to the model; none where an older version has not looked.
    pub standing: Option<Standing>,
    /// Groups that were scored; a field without a group is its own.
    pub groups: usize,
    /// F1 of nuclei at IoU 0.5, and its 95 % interval.
    pub f1: Option<(f64, Option<[f64; 2]>)>,
    /// Predicted minus true nuclei as a share of the true ones, and its 95 % interval.
    pub count_error: Option<(f64, Option<[f64; 2]>)>,
    /// Calibration error of the confidences of nuclei, and what chance gives.
    pub ece: Option<(f64, f64)>,
    /// How well wrong nuclei are told from right ones.
    pub auroc: Option<f64>,
    /// Intervals of counts, those that hold, and the share that should.
    pub held: Option<(usize, usize, f64)>,
    /// Share of pixels that are ignored.
    pub ignored: Option<f64>,
}

/// A result whose numbers are to be used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Used {
    /// Fields that were asked for.
    pub fields: usize,
    /// Those that failed.
    pub failed: usize,
    /// Share of the pixels of all others that show nothing.
    pub ignored: Option<f64>,
    /// Fields that trained or chose the model; none where it does not say what it has met.
    pub met: Option<usize>,
    /// Fields that were compared with the training and those that are unlike it.
    pub compared: Option<(usize, usize)>,
    /// The plates of these fields, or all of them where no plate is known.
    pub plates: Vec<StrangePlate>,
    /// F1 of nuclei that is expected from how sure the model is of them.
    pub expected_f1: Option<f64>,
    /// Half the width of the interval of a well's count by the count, the median of the wells.
    pub well_half_width: Option<f64>,
}

/// How unlike the training a plate is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StrangePlate {
    /// What it is called; none where no plate is known.
    pub name: Option<String>,
    /// 1 is what one in twenty plates like the training exceeds.
    pub strangeness: f64,
    /// What is different, in words.
    pub unlike: String,
    /// Least and largest F1 of nuclei of validation fields once they were about as strange.
    pub when_as_strange: Option<[f64; 2]>,
}
