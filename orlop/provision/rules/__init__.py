"""What must be true of a config, one module a topic. A rule looks at values and adds to the report; it changes nothing.

`settings` sees what the user wrote, before any sugar; the others see the finished config and are at least as
strict as Ignition 2.14 itself, so that what passes here passes there. That is proved against `ignition-validate`
(tests/contracts/provision).
"""
