//! A small random forest over binned features (L. Breiman, *Random forests*, Machine Learning 45,
//! 2001).
//!
//! Every feature is a code of 0 to 63, so a split is a set of codes in one `u64`, and finding one is
//! a histogram. Numbers split in the order of their codes; categories in the order of their share of
//! positives in the node, which contains the best of all subsets (W. D. Fisher, 1958; Breiman et al.,
//! 1984, theorem 4.5). Each tree sees as many negatives as positives, so scores don't depend on how
//! many rows either class has. Trees this deep find features that matter only together.

use drift_kit::features::Kind;
use drift_kit::rng::Rng;

/// Codes of a feature: the bits of a split.
pub const CODES: usize = 64;
/// Splits between root and leaf. Enough for interactions of several features, few enough for leaves
/// that generalise.
const DEPTH_MAX: u32 = 8;
/// Rows of a leaf at the least.
const LEAF_ROWS_MIN: u32 = 8;

/// Rows in columns of codes, negatives first.
#[derive(Debug)]
pub struct Table {
    /// How each feature's codes compare, and its codes by row.
    pub features: Vec<(Kind, Vec<u8>)>,
    /// Rows before this are negative, the others positive.
    pub negatives: u32,
}

impl Table {
    fn is_positive(&self, row: u32) -> bool {
        row >= self.negatives
    }

    /// The code of a feature in a row; 0 where there is none such.
    pub fn code(&self, feature: usize, row: u32) -> u8 {
        let codes = self.features.get(feature).map(|(_, codes)| codes.as_slice());
        codes
            .and_then(|codes| codes.get(row as usize))
            .copied()
            .unwrap_or_default()
    }
}

#[derive(Debug)]
enum Node {
    /// Share of positives.
    Leaf(f64),
    Split {
        feature: usize,
        /// Codes that go left.
        left_codes: u64,
        left: usize,
        right: usize,
    },
}

/// One tree.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// Grow a tree on a bootstrap sample of the training rows: as many of each class as there are
    /// rows in the smaller.
    pub fn grow(table: &Table, negatives: &[u32], positives: &[u32], rng: &mut Rng) -> Self {
        let size = negatives.len().min(positives.len());
        let mut rows = Vec::with_capacity(2 * size);
        for class in [negatives, positives] {
            rows.extend((0..size).filter_map(|_| class.get(rng.below(class.len() as u64) as usize)));
        }
        let mut grower = Grower {
            table,
            rng,
            order: (0..table.features.len()).collect(),
            nodes: Vec::new(),
        };
        grower.node(&mut rows, 0);
        Self { nodes: grower.nodes }
    }

    /// The score of a row whose codes a function gives by feature: higher is more likely positive.
    pub fn score(&self, code: impl Fn(usize) -> u8) -> f64 {
        let mut at = 0;
        loop {
            match self.nodes.get(at) {
                Some(Node::Leaf(share)) => return *share,
                Some(Node::Split {
                    feature,
                    left_codes,
                    left,
                    right,
                }) => {
                    at = if goes_left(*left_codes, code(*feature)) {
                        *left
                    } else {
                        *right
                    };
                }
                None => return 0.5,
            }
        }
    }

    /// Does any split ask for this feature?
    pub fn uses(&self, asked: usize) -> bool {
        self.nodes
            .iter()
            .any(|node| matches!(node, Node::Split { feature, .. } if *feature == asked))
    }
}

fn goes_left(left_codes: u64, code: u8) -> bool {
    (left_codes >> (code & 63)) & 1 == 1
}

struct Grower<'a> {
    table: &'a Table,
    rng: &'a mut Rng,
    /// Features; shuffled anew for each node, whose candidates are the first ones.
    order: Vec<usize>,
    nodes: Vec<Node>,
}

/// Rows of either class under each code.
type Histogram = [[u32; 2]; CODES];

struct Best {
    feature: usize,
    left_codes: u64,
    purity: f64,
}

impl Grower<'_> {
    /// Grow the node of these rows; returns its index.
    fn node(&mut self, rows: &mut [u32], depth: u32) -> usize {
        let index = self.nodes.len();
        let all = rows.len() as u32;
        let positives = rows.iter().filter(|&&row| self.table.is_positive(row)).count() as u32;
        self.nodes
            .push(Node::Leaf(f64::from(positives) / f64::from(all.max(1))));
        let is_pure = positives == 0 || positives == all;
        if depth == DEPTH_MAX || is_pure || all < 2 * LEAF_ROWS_MIN {
            return index;
        }
        let Some(best) = self.best_split(rows, positives) else {
            return index;
        };
        let middle = partition(rows, |row| {
            goes_left(best.left_codes, self.table.code(best.feature, row))
        });
        let Some((left_rows, right_rows)) = rows.split_at_mut_checked(middle) else {
            return index;
        };
        let left = self.node(left_rows, depth + 1);
        let right = self.node(right_rows, depth + 1);
        if let Some(node) = self.nodes.get_mut(index) {
            *node = Node::Split {
                feature: best.feature,
                left_codes: best.left_codes,
                left,
                right,
            };
        }
        index
    }

    /// The purest split among √features random candidates; `None` where none leaves enough rows on
    /// both sides.
    fn best_split(&mut self, rows: &[u32], positives: u32) -> Option<Best> {
        let candidates = (self.order.len() as f64).sqrt().ceil() as usize;
        self.rng.shuffle(&mut self.order);
        let mut best: Option<Best> = None;
        for &feature in self.order.iter().take(candidates) {
            let Some((kind, codes)) = self.table.features.get(feature) else {
                continue;
            };
            let mut histogram: Histogram = [[0; 2]; CODES];
            for &row in rows {
                let class = usize::from(self.table.is_positive(row));
                let code = codes.get(row as usize).copied().unwrap_or_default();
                if let Some(count) = histogram
                    .get_mut(usize::from(code))
                    .and_then(|pair| pair.get_mut(class))
                {
                    *count += 1;
                }
            }
            let totals = [rows.len() as u32 - positives, positives];
            if let Some((left_codes, purity)) = split_histogram(&histogram, *kind, totals)
                && best.as_ref().is_none_or(|best| purity > best.purity)
            {
                best = Some(Best {
                    feature,
                    left_codes,
                    purity,
                });
            }
        }
        best
    }
}

/// The purest split of one feature: the codes that go left, and the purity (the Gini impurity's
/// complement, weighted by rows).
fn split_histogram(histogram: &Histogram, kind: Kind, totals: [u32; 2]) -> Option<(u64, f64)> {
    let mut present: Vec<(u8, [u32; 2])> = (0u8..)
        .zip(histogram)
        .filter(|(_, counts)| counts.iter().any(|&count| count > 0))
        .map(|(code, counts)| (code, *counts))
        .collect();
    if kind == Kind::Category {
        // Shares of positives in ascending order, compared as products to stay with whole numbers.
        present.sort_by_key(|(code, [negative, positive])| {
            let share = u64::from(*positive) * 1_000_000 / u64::from(negative + positive);
            (share, *code)
        });
    }
    let (mut left, mut left_codes) = ([0u32; 2], 0u64);
    let mut best: Option<(u64, f64)> = None;
    for (code, [negative, positive]) in present {
        left = [left[0] + negative, left[1] + positive];
        left_codes |= 1 << code;
        let right = [totals[0] - left[0], totals[1] - left[1]];
        if left[0] + left[1] < LEAF_ROWS_MIN || right[0] + right[1] < LEAF_ROWS_MIN {
            continue;
        }
        let purity = purity(left) + purity(right);
        if best.is_none_or(|(_, most)| purity > most) {
            best = Some((left_codes, purity));
        }
    }
    best
}

fn purity([negative, positive]: [u32; 2]) -> f64 {
    let (a, b) = (f64::from(negative), f64::from(positive));
    (a * a + b * b) / (a + b)
}

/// Bring the rows that go left to the front; returns how many they are.
fn partition(rows: &mut [u32], goes_left: impl Fn(u32) -> bool) -> usize {
    let mut left = 0;
    for at in 0..rows.len() {
        if rows.get(at).is_some_and(|&row| goes_left(row)) {
            rows.swap(at, left);
            left += 1;
        }
    }
    left
}
