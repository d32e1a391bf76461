// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../batch.circom";

// 40 slots in at most 10 regions; 8^(4 + 4) = 2^24 leaves.
component main {public [C, r, y]} = Batch(40, 10);
