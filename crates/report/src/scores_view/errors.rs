//! The tables of objects that are wrong, and of the shifts at which they would be less wrong.

use stainfree_scores::{
    Fate, FateShare, FateStratum, GroupShift, ObjectErrors, ObjectSummary, SHIFT_REACH, Side,
};

use super::words::{grouped, number};
use crate::data::{Cell, Column, Table};

/// What the fates of an object mean.
pub(super) fn meaning(side: Side, fate: Fate) -> &'static str {
    match (side, fate) {
        (_, Fate::Found) => "Matched with an IoU of 0.5 or more.",
        (_, Fate::Missed) => "No prediction lies mainly in it or covers more than half of it.",
        (_, Fate::Spurious) => {
            "It lies mainly in no true nucleus and covers more than half of none."
        }
        (Side::Truth, Fate::Merged) => {
            "A prediction covers more than half of it and of another true nucleus."
        }
        (Side::Prediction, Fate::Merged) => "It covers more than half of several true nuclei.",
        (Side::Truth, Fate::Split) => "Several predictions lie mainly in it.",
        (Side::Prediction, Fate::Split) => {
            "It is one of several that lie mainly in a true nucleus."
        }
        (_, Fate::BadlyOutlined) => "The best IoU is 0.3 to 0.5.",
        (Side::Truth, Fate::WrongSize) => {
            "What lies mainly in it or covers it is far too small or too large: IoU below 0.3."
        }
        (Side::Prediction, Fate::WrongSize) => {
            "Far smaller than the true nucleus it lies in, or far larger than the one it covers: \
             IoU below 0.3."
        }
    }
}

/// True nuclei, or predicted ones, by stratum and fate.
pub(super) fn fate_table(errors: &ObjectErrors, side: Side) -> Table {
    let cells = |stratum: &FateStratum| {
        let row = match side {
            Side::Truth => Some(&stratum.truth),
            Side::Prediction => stratum.prediction.as_ref(),
        }?;
        let mut cells = vec![
            Cell {
                text: stratum.stratum.clone(),
                note: limits(stratum),
            },
            Cell::from(grouped(row.n)),
        ];
        cells.extend(row.fates.iter().map(|(_, share)| share_cell(share)));
        Some(cells)
    };
    let columns = side.fates().map(|fate| {
        let words = "Shares of the nuclei of the row; the number and the 95 % interval show on \
            hovering.";
        Column::number(fate.words(), format!("{} {words}", meaning(side, fate)))
    });
    let (title, caption) = match side {
        Side::Truth => (
            "Why true nuclei are not found",
            "Each true nucleus is in one column; all but the first add up to those without a match \
             (FN). Thirds of size and contrast are those of the true nuclei.",
        ),
        Side::Prediction => (
            "Why predicted nuclei are wrong",
            "Each predicted nucleus is in one column; all but the first add up to those without a \
             match (FP). Neighbours are predicted ones; sizes and contrasts are parted where those \
             of the true nuclei are.",
        ),
    };
    let number = Column::number("number", "How many there are.");
    Table {
        title: title.to_owned(),
        caption: caption.to_owned(),
        columns: [Column::text("nuclei"), number]
            .into_iter()
            .chain(columns)
            .collect(),
        rows: errors.strata.iter().filter_map(cells).collect(),
        folded: side == Side::Prediction,
    }
}

/// Where the values of a third lie.
fn limits(stratum: &FateStratum) -> String {
    let of = match stratum.by.as_str() {
        "size" => "area in px2",
        "contrast" => "standard deviation by mean of the brightfield around it",
        _ => return String::new(),
    };
    let value = |v: f64| match stratum.by.as_str() {
        "size" => format!("{v}"),
        _ => format!("{v:.4}"),
    };
    match (stratum.above, stratum.up_to) {
        (None, Some(up_to)) => format!("{of}: up to {}", value(up_to)),
        (Some(above), None) => format!("{of}: above {}", value(above)),
        (Some(above), Some(up_to)) => {
            format!("{of}: above {}, up to {}", value(above), value(up_to))
        }
        (None, None) => String::new(),
    }
}

fn share_cell(share: &FateShare) -> Cell {
    let interval = share.ci95.map_or(String::new(), |[low, high]| {
        format!(", 95 % {:.1} to {:.1} %", 100.0 * low, 100.0 * high)
    });
    Cell {
        text: share
            .share
            .map_or("n/a".to_owned(), |s| format!("{:.1} %", 100.0 * s)),
        note: format!("{}{interval}", grouped(share.n)),
    }
}

/// The shift of every group with its scores.
pub(super) fn shift_table(objects: &ObjectSummary) -> Table {
    let row = |group: &GroupShift| {
        vec![
            Cell::from(group.group.clone()),
            Cell::from(group.fields.to_string()),
            Cell::from(group.shift.dy_px.to_string()),
            Cell::from(group.shift.dx_px.to_string()),
            Cell::from(number(group.f1_50)),
            Cell::from(number(group.f1_50_shifted)),
        ]
    };
    let words = "How far the predictions of the group are moved";
    Table {
        title: "Nuclei at the best rigid shift".to_owned(),
        caption: format!(
            "F1 at IoU 0.5 of all groups with each one moved as a whole: {}. The shift is looked \
             for within {} px with the truth at hand: the difference to the plain score is what a \
             constant shift between truth and image costs.",
            number(objects.f1_50_shifted.as_ref().and_then(|s| s.pooled)),
            SHIFT_REACH,
        ),
        columns: vec![
            Column::text("group"),
            Column::number("fields", "How many belong to it."),
            Column::number("down, px", format!("{words}; up is negative.")),
            Column::number("right, px", format!("{words}; left is negative.")),
            Column::number("F1", "As predicted, at IoU 0.5."),
            Column::number("F1, moved", "The same with the predictions moved."),
        ],
        rows: objects.shifts.iter().map(row).collect(),
        folded: true,
    }
}
