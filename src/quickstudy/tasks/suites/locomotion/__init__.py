"""Gymnasium's MuJoCo robots whose goal or whose body has to be found out: the tasks that the field compares on."""
