"""Where a training writes its curves: one port, TensorBoard by default, MLflow by one setting."""
