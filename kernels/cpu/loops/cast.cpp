namespace mbt::cpu::MBT_LEVEL {}
