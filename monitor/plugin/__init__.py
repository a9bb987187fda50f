"""A tab in TensorBoard: ``tensorboard --logdir runs`` shows the monitor's page as "Health".

The page is that of ``monitor watch``, which the plugin starts for the same directory when the tab
is first opened, and which ends with TensorBoard, whose own process only passes requests on.
"""
