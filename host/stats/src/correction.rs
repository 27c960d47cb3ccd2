//! Correction of several p-values for multiple testing.

/// Adjusted p-values that control the false discovery rate (Y. Benjamini and Y. Hochberg, 1995;
/// `scipy.stats.false_discovery_control`), in the order of the input. P-values are not NaN.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len() as f64;
    let mut order: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut adjusted = p_values.to_vec();
    let mut smallest = 1.0f64;
    for (above, (index, p)) in order.into_iter().enumerate() {
        smallest = smallest.min(p * count / (count - above as f64));
        if let Some(slot) = adjusted.get_mut(index) {
            *slot = smallest;
        }
    }
    adjusted
}
