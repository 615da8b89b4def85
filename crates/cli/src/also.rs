//! The forms of labels that other programs open, as values of an option.

use clap::builder::{PossibleValue, TypedValueParser};
use stainfree_project::prediction::forms::{Form, Forms};

/// `--also`: labels in further forms.
#[derive(clap::Args)]
pub(crate) struct Also {
    /// Also write the labels in these forms, which other programs open
    #[arg(
        long = "also",
        value_name = "FORM[,FORM..]",
        value_delimiter = ',',
        value_parser = parser(),
    )]
    forms: Vec<Form>,
}

impl Also {
    /// What was asked for.
    pub(crate) fn forms(&self) -> Forms {
        self.forms.iter().copied().collect()
    }
}

/// Reads a form; help pages list what each writes.
pub(crate) fn parser() -> impl TypedValueParser<Value = Form> {
    let value = |form: Form| {
        PossibleValue::new(form.name())
            .aliases(form.programs().iter().copied())
            .help(form.help())
    };
    clap::builder::PossibleValuesParser::new(Form::ALL.map(value))
        .try_map(|word| word.parse::<Form>())
}
