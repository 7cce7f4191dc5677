// A recurrent layer: the frames around a cell. A frame knows no cell, and a cell knows nothing of frames.
//
//     one_block.cuh      small networks: the weights of a layer on one multiprocessor
//     many_blocks.cuh    larger ones: the weights on many
//     step.cuh           any size, any GPU: a product, then the cell, for every step
//     whole.cuh          small networks again: complete training steps in one block
//
// src/cuda/plan/mod.rs chooses between them, and the constants that tile.cuh lists.
#pragma once
#include "many_blocks.cuh"
#include "one_block.cuh"
#include "step.cuh"
#ifdef WHOLE
#include "whole.cuh"
#endif

template <class Cell>
__device__ __forceinline__ void forward(const Forward& args) {
    if constexpr (BLOCKS == 1)
        forward_one_block<Cell>(args);
    else
        forward_many_blocks<Cell>(args);
}

template <class Cell>
__device__ __forceinline__ void backward(const Backward& args) {
    if constexpr (BLOCKS == 1)
        backward_one_block<Cell>(args);
    else
        backward_many_blocks<Cell>(args);
}
