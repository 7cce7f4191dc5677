//! One update of all parameters: a single pass over the flat arena.
//! Formulas: PyTorch, `torch.optim.Adam`, `AdamW` and `SGD` (single tensor, not capturable).
//!
//! Moments of a weight whose gradient stays zero fade, and would end as subnormal numbers, which are slow on many
//! processors. So a moment that is too small to move a weight becomes zero.

use crate::objective::optimizer::Update;
use crate::simd::lanes::TINY;
use crate::simd::lanes::{LANES, Lanes, Pass};
use crate::simd::math::settled_below;

/// The pass. All arrays have the length of the arena, a whole number of vectors.
pub(super) struct UpdatePass<'a> {
    pub update: Update,
    /// What gradients are multiplied by first: for clipping, and negative to maximise the loss.
    pub scale: f32,
    pub params: &'a mut [f32],
    pub grads: &'a [f32],
    /// First moment, or the direction of SGD with momentum.
    pub m: &'a mut [f32],
    /// Second moment; empty for SGD.
    pub v: &'a mut [f32],
    /// Largest second moment; empty unless `amsgrad`.
    pub v_max: &'a mut [f32],
}

impl Pass for UpdatePass<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { update, scale, params, grads, m, v, v_max } = self;
        // SAFETY: each array is as long as the arena or is not touched.
        unsafe {
            let scale = V::splat(scale);
            for at in (0..params.len()).step_by(LANES) {
                let to = params.as_mut_ptr().add(at);
                let (p, g) = (V::load(to), V::load(grads.as_ptr().add(at)) * scale);
                let p = match update {
                    Update::Adam { step_size, beta2, fresh, scale_v, eps, weight_decay, shrink, amsgrad } => {
                        let (to_m, to_v) = (m.as_mut_ptr().add(at), v.as_mut_ptr().add(at));
                        let p = p * p.all(shrink);
                        let g = if weight_decay == 0.0 { g } else { p.mul_add(p.all(weight_decay), g) };
                        let (old_m, old_v) = (V::load(to_m), V::load(to_v));
                        let new_m = (g - old_m).mul_add(p.all(fresh[0]), old_m);
                        let new_v = (g * p.all(fresh[1])).mul_add(g, old_v * p.all(beta2));
                        let new_m = new_m.settled();
                        let new_v = settled_below(new_v, swallowed(eps));
                        new_m.store(to_m);
                        new_v.store(to_v);
                        let largest = if amsgrad {
                            let to_max = v_max.as_mut_ptr().add(at);
                            let largest = new_v.max(V::load(to_max));
                            largest.store(to_max);
                            largest
                        } else {
                            new_v
                        };
                        let root = largest.sqrt().mul_add(p.all(scale_v), p.all(eps));
                        p - p.all(step_size) * new_m / root
                    }
                    Update::Sgd { lr, momentum, fresh, nesterov, weight_decay } => {
                        let g = if weight_decay == 0.0 { g } else { p.mul_add(p.all(weight_decay), g) };
                        let direction = if momentum == 0.0 {
                            g
                        } else {
                            let to_m = m.as_mut_ptr().add(at);
                            let kept = V::load(to_m).mul_add(p.all(momentum), g * p.all(fresh)).settled();
                            kept.store(to_m);
                            if nesterov { kept.mul_add(p.all(momentum), g) } else { kept }
                        };
                        p - p.all(lr) * direction
                    }
                };
                p.store(to);
            }
        }
    }
}

/// Second moments smaller than this have no effect, because their root is lost when `eps` is added. Zero if `eps` is.
#[inline(always)]
fn swallowed(eps: f32) -> f32 {
    let root = eps * f32::from_bits((127 - 30) << 23);
    (root * root).min(TINY)
}
