//! What the label images and masks of folders are taken for by their shapes.
//!
//! ```text
//! label_content FOLDER [FOLDER ..]
//! ```
//! A line for every file; at the end the counts.

mod pictures;

use stainfree_objects::{NumberShapes, not_labels, shared_numbers, smoothed_share};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut read, mut refused, mut shared, mut smoothed) = (0, 0, 0, 0);
    for file in pictures::of_arguments()? {
        let Ok(labels) = stainfree_image::read_labels(&file) else {
            continue;
        };
        read += 1;
        let found = not_labels(&labels);
        let numbers = shared_numbers(&labels);
        let share = smoothed_share(&labels);
        refused += usize::from(found.is_some());
        shared += usize::from(!numbers.is_empty());
        smoothed += usize::from(share > 0.0);
        let shapes = NumberShapes::of(&labels);
        let said = found.map_or("labels".to_owned(), |found| found.to_string());
        println!(
            "{}: {said}; {} of {} numbers shared; smoothed {share:.3}; instances {}",
            file.display(),
            numbers.len(),
            shapes.numbers,
            shapes.are_instances()
        );
    }
    println!("{read} read, {refused} no labels, {shared} with shared numbers, {smoothed} smoothed");
    Ok(())
}
