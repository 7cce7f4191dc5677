// What a cell passes on, for one unit of one sequence: the twin of src/cell/mod.rs, where a vector has sixteen units.
//
// A cell is a struct with GATES, SAVED, HAS_C, RESET and two functions, `forward` and `backward` of one time step.
// gates_x = W_ih x + b_ih and gates_h = W_hh h + b_hh come from outside and are kept apart, since the GRU multiplies
// one of the second kind by r. Arrays are MOST long; a cell with fewer gates leaves the rest alone.
#pragma once
#include "math.cuh"

constexpr int MOST = 4; // gates of a cell, and values it saves

// What goes from one time step to the next. Cells without c leave it unchanged.
struct State {
    float h, c;
};

// What backward of one step gives.
struct Gradients {
    float dgates_x[MOST];
    float dgates_h[MOST]; // the same, except for a cell that has RESET
    State dstate;         // at the state before the step, without the part that runs through gates_h
};
