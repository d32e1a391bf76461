// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../batch.circom";

// 10 slots in at most 3 regions; 8^(4 + 4) = 2^24 leaves.
component main {public [C, r, y]} = Batch(10, 3);
