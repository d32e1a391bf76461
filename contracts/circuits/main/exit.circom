// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../exit.circom";

// 8^8 = 2^24 leaves.
component main {public [root, idx, balance]} = Exit(8);
