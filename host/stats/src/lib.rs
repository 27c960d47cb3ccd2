//! Statistics on slices and sums, for the host and for plugins: no batch, no config, no verdict.
//!
//! | module | what |
//! | --- | --- |
//! | [`tail`] | tails and quantiles of the normal, Student's, chi-square and gamma distributions |
//! | [`contingency`] | tests on counts: chi-square, two proportions, Fisher's exact test |
//! | [`moments`] | count, mean, variance and range, mergeable; Welch's test |
//! | [`ranks`] | samples of two labels by tied scores: area under the ROC curve with DeLong's variance, average precision |
//! | [`auc`] | the same area under the hypothesis that scores know nothing |
//! | [`interval`] | confidence intervals: Wilson's, Student's, on the logit scale |
//! | [`bootstrap`] | intervals and tests by seeded resampling, for statistics without a formula |
//! | [`correction`] | several p-values at once |
//! | [`rng`] | the seeded generator of all of it |
//!
//! Every function gives a finite number for every input that its own documentation allows, and says
//! what it gives for empty and constant samples.

pub mod auc;
pub mod bootstrap;
pub mod contingency;
pub mod correction;
pub mod interval;
pub mod moments;
pub mod ranks;
pub mod rng;
pub mod tail;
