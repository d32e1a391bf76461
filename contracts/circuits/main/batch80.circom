// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../batch.circom";

// 80 slots in at most 20 regions; 8^(4 + 4) = 2^24 leaves.
component main {public [C, r, y]} = Batch(80, 20);
