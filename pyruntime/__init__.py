"""pyruntime: the runtime where compressed neural networks really are smaller and faster."""
