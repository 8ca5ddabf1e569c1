//! What the buckets of a stack hold, as far as a destroy must know it.

/// Objects in the two buckets, for a destroy: the count, and whether there are more. `None`: not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub thumbnails: Option<(u64, bool)>,
    /// Without those that thumb wrote.
    pub code: Option<(u64, bool)>,
    /// The keys of workers' reports in a code bucket that stays.
    pub reports: Vec<String>,
}
