// Glasses, masks, scarves, hands: geometry in template space, carried by an affine map.
in vec3 in_position;
in vec3 in_normal;
uniform mat4x3 u_carry;
out vec3 v_world;
out vec3 v_normal;
out vec3 v_local;
void main() {
    v_world = posed(u_carry * vec4(in_position, 1.0), 0.0);
    v_normal = posed_direction(mat3(u_carry) * in_normal, 0.0);
    v_local = in_position;
    gl_Position = clip(v_world);
}
