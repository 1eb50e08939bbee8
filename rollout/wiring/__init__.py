"""Where everything meets: settings, adapters, controller and sandbox become running programs."""
