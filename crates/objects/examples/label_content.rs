//! What the label images and masks of folders are taken for by their shapes.
//!
//! ```text
//! label_content FOLDER [FOLDER ..]
//! ```
//! A line for every file; at the end the counts.

use stainfree_objects::{NumberShapes, not_labels, shared_numbers, smoothed_share};
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in std::env::args().skip(1) {
        collect(Path::new(&folder), &mut files)?;
    }
    files.sort();
    let (mut read, mut refused, mut shared, mut smoothed) = (0, 0, 0, 0);
    for file in files {
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

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if path.is_dir() {
            collect(&path, files)?;
        } else if ending.is_some_and(|e| ["tif", "tiff", "png"].contains(&e.as_str())) {
            files.push(path);
        }
    }
    Ok(())
}
