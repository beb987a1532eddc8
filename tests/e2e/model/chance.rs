//! Choices that depend on a seed and on nothing else (SplitMix64).

/// A sequence of choices.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of a seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// One of `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    /// A place in a list of that length, which is not empty.
    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.next() % length as u64).unwrap()
    }

    /// One of these.
    pub fn one_of<T: Clone>(&mut self, these: &[T]) -> T {
        these[self.place(these.len())].clone()
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, share: u64) -> bool {
        self.next() % 100 < share
    }

    /// One of these, as often as its weight says.
    pub fn weighed<T: Copy>(&mut self, these: &[(u64, T)]) -> T {
        let sum: u64 = these.iter().map(|(weight, _)| weight).sum();
        let mut left = self.next() % sum;
        for (weight, this) in these {
            if left < *weight {
                return *this;
            }
            left -= weight;
        }
        unreachable!("the weights add up to their sum")
    }
}
